"""The examples of the built-in task types, which /docs shows and a rehearsal submits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from celeriac import TaskType
from celeriac.testing.context import FakeContext
from tasks.cleanup import cleanup
from tasks.generate_report import generate_report
from tasks.long_running import long_running
from tasks.process_file import process_file
from tasks.send_email import send_email

TYPES: list[TaskType[Any, Any]] = [
    cleanup,
    generate_report,
    long_running,
    process_file,
    send_email,
]


def examples(task_type: TaskType[Any, Any]) -> list[Any]:
    shown: list[Any] = task_type.payload_model.model_json_schema()["examples"]
    return shown


CASES = [(task_type, example) for task_type in TYPES for example in examples(task_type)]
FILE_CASES = [(task_type, example) for task_type, example in CASES if "file_key" in example]


@pytest.mark.parametrize("task_type", TYPES, ids=lambda each: each.name)
def test_every_type_has_an_example(task_type: TaskType[Any, Any]) -> None:
    """The first one is what a reader of /docs tries, so it has to be there."""
    assert examples(task_type)


@pytest.mark.parametrize(("task_type", "example"), CASES)
def test_every_example_is_a_payload(task_type: TaskType[Any, Any], example: Any) -> None:
    """The endpoint accepts each as it stands."""
    task_type.payload_model.model_validate(example)


@pytest.mark.parametrize(("task_type", "example"), FILE_CASES)
def test_every_example_about_a_file_runs(
    task_type: TaskType[Any, Any], example: Any, tmp_path: Path
) -> None:
    """With a file of that name uploaded, the task succeeds."""
    (tmp_path / "sales.csv").write_text(
        "date,amount,product\n2026-01-05,30.5,tea\n2026-02-09,12,coffee\n"
    )
    Image.new("RGB", (600, 400), "teal").save(tmp_path / "photo.jpg")
    key = example["file_key"]
    context = FakeContext(workdir=tmp_path, files={key: tmp_path / Path(key).name})

    result = task_type(task_type.payload_model.model_validate(example), context)

    assert result.artifacts
