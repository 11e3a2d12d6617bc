"""Tasks that run where they are called: no message, no record, nothing asked of AWS."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.httpsession import URLLib3Session
from celery import Task, chain, chord, group
from celery.exceptions import Ignore
from pydantic import Field

from celeriac import states
from celeriac.app import eager
from celeriac.app.factory import Celeriac
from celeriac.contract import (
    Artifact,
    BaseModel,
    Catalogue,
    PermanentError,
    Retry,
    RetryLater,
    TaskContext,
    catalogue,
    task,
)
from celeriac.settings import Settings
from celeriac.storage.services import services
from tasks.queues import DEFAULT
from tests.isolation import forget_aws

attempts: list[int] = []


class Sheet(BaseModel):
    """What to write, and how the task ends."""

    text: str = "hello"
    way: str = "saves"
    key: str = ""


class Written(BaseModel):
    """What was read, and what was saved."""

    text: str
    artifacts: list[Artifact] = Field(default_factory=list)


@task(name="write-sheet", queue=DEFAULT, retry=Retry(attempts=3))
def write_sheet(payload: Sheet, context: TaskContext) -> Written:
    """Write a text, or read one."""
    attempts.append(context.attempt)
    context.progress(1, 2, "half")
    assert not context.cancelled
    context.logger.info("in %s, until %s", context.workdir, context.deadline)
    match payload.way:
        case "fails":
            raise ValueError("as it was told to")
        case "fails once" if context.attempt == 1:
            raise RetryLater(timedelta(seconds=1))
        case "fails for good":
            raise PermanentError("as it was told to", type="told")
        case "reads":
            return Written(text=context.read_artifact(payload.key).read_text())
        case "returns another":
            return Sheet()  # type: ignore[return-value]
    path = context.workdir / "sheet.txt"
    path.write_text(payload.text)
    saved = [
        context.save_artifact("sheet.txt", path, content_type="text/plain"),
        context.save_artifact("copy.txt", payload.text.encode(), content_type="text/plain"),
    ]
    return Written(text=payload.text, artifacts=saved)


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[Celeriac]:
    """An app in a process that has no AWS: a request would fail the test."""

    def request(*_: Any, **__: Any) -> None:
        raise AssertionError("AWS was asked")

    forget_aws()
    monkeypatch.setattr(URLLib3Session, "send", request)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    attempts.clear()
    app = Celeriac(
        "shop", settings=Settings(), catalogue=Catalogue([write_sheet], catalogue().queues)
    )
    app.finalize()

    @app.task(name="eager-add", shared=False)
    def add(x: int, y: int = 1) -> int:
        return x + y

    @app.task(name="eager-total", shared=False)
    def total(numbers: list[int]) -> int:
        return sum(numbers)

    @app.task(name="eager-any", bind=True, shared=False, max_retries=2)
    def any_way(self: Task, way: str) -> object:
        self.update_state(state="PROGRESS", meta={"current": 1, "total": 2})
        attempts.append(self.request.retries)
        match way:
            case "retries":
                raise self.retry(countdown=600, exc=ValueError("again"))
            case "ignores":
                raise Ignore
            case "ends itself":
                self.update_state(state=states.FAILURE, meta={"why": "told"})
                raise Ignore
            case "replaces":
                return self.replace(add.s(2, 2))
        return self.request.id

    yield app
    eager.forget()
    app.close()
    forget_aws()


def run(app: Celeriac, always: bool, payload: dict[str, Any]) -> Any:
    app.conf.task_always_eager = always
    task = app.tasks["write-sheet"]
    return task.delay(payload) if always else task.apply((payload,))


ALWAYS = pytest.mark.parametrize("always", [False, True])


@ALWAYS
def test_a_task_type_runs_with_a_context_in_memory(app: Celeriac, always: bool) -> None:
    """What it saves can be read by the next one, and its directory is removed."""
    result = run(app, always, {"text": "Ada"})
    saved = result.get()["artifacts"]

    assert [each["name"] for each in saved] == ["sheet.txt", "copy.txt"]
    assert all(each["key"].startswith(f"tasks/{result.id}/1/") for each in saved)
    again = run(app, always, {"way": "reads", "key": saved[0]["key"]})
    assert again.get() == {"text": "Ada", "artifacts": []}


@ALWAYS
@pytest.mark.parametrize(
    ("way", "tried", "error"),
    [
        ("fails", [1, 2, 3], ValueError),
        ("fails for good", [1], PermanentError),
        ("reads", [1], PermanentError),
        ("returns another", [1], PermanentError),
    ],
)
def test_its_retry_policy_holds(
    app: Celeriac, always: bool, way: str, tried: list[int], error: type[Exception]
) -> None:
    """At once: nothing waits between the attempts, as in Celery."""
    result = run(app, always, {"way": way})

    assert (result.state, attempts) == (states.FAILURE, tried)
    with pytest.raises(error):
        result.get()


@ALWAYS
def test_a_task_that_asks_for_another_attempt_has_it(app: Celeriac, always: bool) -> None:
    """``RetryLater`` is followed."""
    assert run(app, always, {"way": "fails once"}).get()["text"] == "hello"
    assert attempts == [1, 2]


@ALWAYS
def test_a_payload_that_is_not_valid_fails_the_task(app: Celeriac, always: bool) -> None:
    """With the place of each mistake."""
    result = run(app, always, {"txt": "Ada"})

    assert isinstance(result.result, PermanentError)
    assert "txt" in str(result.result)
    assert attempts == []


def test_it_can_be_called_as_a_function(app: Celeriac) -> None:
    """As any Celery task."""
    assert app.tasks["write-sheet"]({"text": "Ada"})["text"] == "Ada"


def test_its_directory_is_removed(app: Celeriac, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a worker."""
    made: list[Path] = []
    mkdtemp = tempfile.mkdtemp

    def note(*args: Any, **options: Any) -> str:
        made.append(Path(mkdtemp(*args, **options)))
        return str(made[-1])

    monkeypatch.setattr(tempfile, "mkdtemp", note)
    run(app, True, {}).get()

    assert len(made) == 1
    assert not made[0].exists()


@ALWAYS
def test_plain_tasks_and_canvas_ask_nothing_of_aws(app: Celeriac, always: bool) -> None:
    """Whatever they do: also ``update_state``, retries, errors and chords."""
    app.conf.task_always_eager = always
    add, total, fail = app.tasks["eager-add"], app.tasks["eager-total"], app.tasks["eager-any"]

    def go(signature: Any) -> Any:
        return signature.apply_async() if always else signature.apply()

    assert go(chain(add.s(1), add.s(1), add.s(1))).get() == 4
    assert go(group(add.s(1), add.s(2))).get() == [2, 3]
    assert go(chord([add.s(1), add.s(2)], total.s())).get() == 5
    assert go(fail.s("replaces")).get() == 4
    result = go(fail.s("retries"))
    assert (result.state, str(result.result)) == (states.FAILURE, "again")
    assert go(fail.s("ignores")).state == "IGNORED"
    assert go(fail.s("ends itself")).state == "IGNORED"


def test_an_eager_task_has_its_request(app: Celeriac) -> None:
    """``self.request`` is that of ``apply``: the id, the retries, ``is_eager``."""
    result = app.tasks["eager-any"].apply(("plainly",), task_id="chosen")

    assert (result.get(), result.id) == ("chosen", "chosen")


def test_errbacks_of_an_eager_task_are_called(app: Celeriac) -> None:
    """As in Celery."""
    told: list[str] = []

    @app.task(name="eager-told", shared=False)
    def tell(request: Any, error: Exception, traceback: Any) -> None:
        told.append(str(error))

    app.tasks["eager-any"].apply(("retries",), link_error=tell.s())

    assert told == ["again"]


def test_an_eager_result_is_kept_where_celery_would(aws: Settings) -> None:
    """``task_store_eager_result`` writes a record."""
    app = Celeriac("shop", settings=aws, catalogue=Catalogue([], catalogue().queues))
    app.conf.task_store_eager_result = True

    @app.task(name="kept", shared=False)
    def kept(fails: bool) -> int:
        if fails:
            raise ValueError("as it was told to")
        return 5

    good, bad = kept.apply((False,)), kept.apply((True,))

    assert app.AsyncResult(good.id).result == 5
    failed = services().records.get(bad.id)
    assert failed is not None
    assert (failed.state, failed.type) == (states.FAILURE, "kept")
    app.close()
