"""What the rehearsal submits: the examples of the task types' own models."""

from __future__ import annotations

from datetime import timedelta

from pydantic import ConfigDict

from celeriac import BaseModel, Catalogue, TaskContext, catalogue, task
from infra.rehearsal.samples import samples, with_files


class Plain(BaseModel):
    number: int


class Shown(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"number": 1, "files": ["files/0198c0de/note.txt"]},
                {"number": 2, "files": ["files/0198c0de/a-film.mp4"]},
            ]
        }
    )
    number: int
    files: list[str]


@task(time_limit=timedelta(seconds=30))
def plain(payload: Plain, context: TaskContext) -> Plain:
    """Have no example."""
    return payload


@task(time_limit=timedelta(seconds=30))
def shown(payload: Shown, context: TaskContext) -> Shown:
    """Have examples."""
    return payload


def test_a_task_type_without_an_example_is_passed_over() -> None:
    """A new file in ``tasks/`` never stops a rehearsal; nor does a file that it hasn't."""
    assert samples(Catalogue([plain, shown])) == {
        "shown": [{"number": 1, "files": ["files/0198c0de/note.txt"]}]
    }


def test_every_built_in_task_type_is_rehearsed() -> None:
    """Each has an example that can be submitted."""
    assert samples(catalogue()).keys() == catalogue().keys()


def test_files_are_uploaded_for_the_keys_that_a_sample_names() -> None:
    """The key that the upload gave stands in the sample, by whatever depth."""
    (sample,) = samples(Catalogue([shown]))["shown"]

    sent = with_files(sample, lambda name, kind, content: f"key of {name}, {kind}, {content!r}")

    assert sent == {"number": 1, "files": ["key of note.txt, text/plain, b'A note.\\n'"]}
