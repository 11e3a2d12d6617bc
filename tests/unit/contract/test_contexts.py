"""What a task may ask of its context: the worker's and the fake for unit tests do the same."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from celeriac import clock
from celeriac.app.context import RunningContext
from celeriac.contract import Artifact, Cancelled, PermanentError, TaskContext
from celeriac.records import Claimed, TaskRecord, identifiers
from celeriac.settings import Settings
from celeriac.storage.services import services
from celeriac.testing.context import FakeContext

LIMIT = timedelta(minutes=5)


@dataclass
class Stage:
    """A context, and what a test does to the world around it."""

    context: TaskContext
    cancel: Callable[[], object]
    add_artifact: Callable[[str, bytes], object]
    content_of: Callable[[Artifact], bytes]


def fake_stage(tmp_path: Path) -> Stage:
    context = FakeContext(tmp_path, tenant="shop")

    def cancel() -> None:
        context.cancelled = True

    def add_artifact(key: str, content: bytes) -> None:
        path = tmp_path / f"stored-{len(context.files)}"
        path.write_bytes(content)
        context.files[key] = path

    return Stage(
        context, cancel, add_artifact, lambda artifact: context.artifacts[artifact.name].content
    )


def running_stage() -> Stage:
    records, artifacts = services().records, services().artifacts
    now, task_id = clock.now(), identifiers.new_task_id()
    record = TaskRecord(
        task_id=task_id,
        type="resize",
        tenant="shop",
        queue="default",
        created_at=now,
        expires_at=now // 1000 + 3600,
        input="={}",
    )
    records.create(record)
    claimed = records.claim(task_id, 1, "worker/1", now + 60_000)
    assert isinstance(claimed, Claimed)
    return Stage(
        RunningContext(claimed.record, "worker/1", LIMIT),
        lambda: records.cancel(task_id),
        lambda key, content: artifacts.put("shop", key, content, content_type="text/plain"),
        lambda artifact: artifacts.get("shop", artifact.key),
    )


@pytest.fixture(params=["fake", "running"])
def stage(request: pytest.FixtureRequest, tmp_path: Path, aws: Settings) -> Stage:
    return fake_stage(tmp_path) if request.param == "fake" else running_stage()


def test_a_context_knows_its_attempt(stage: Stage) -> None:
    """Id, attempt, tenant and deadline are those of the attempt."""
    context = stage.context

    assert len(context.task_id) == 36
    assert (context.attempt, context.tenant) == (1, "shop")
    assert timedelta(0) < context.deadline - datetime.now(UTC) <= LIMIT
    assert not context.cancelled


def test_progress_tells_a_task_that_it_is_cancelled(stage: Stage) -> None:
    """A task that reports progress is ended by the report after its caller's wish."""
    stage.cancel()

    with pytest.raises(Cancelled):
        stage.context.progress(1, 3, "digging")


def test_a_tasks_own_handler_lets_cancelled_pass(stage: Stage) -> None:
    """``except Exception`` inside a task doesn't swallow the caller's wish."""
    stage.cancel()

    def careless() -> None:
        with contextlib.suppress(Exception):
            stage.context.progress(1, 3)

    with pytest.raises(Cancelled):
        careless()


def test_progress_may_be_told_often(stage: Stage) -> None:
    """Reporting each of many steps is allowed, the last one included."""
    for step in range(1, 101):
        stage.context.progress(step, 100)


def test_an_artifact_is_read_into_the_working_directory(stage: Stage) -> None:
    """The file has the artifact's name and lies inside ``workdir``."""
    stage.add_artifact("files/1/leaf.txt", b"green")

    path = stage.context.read_artifact("files/1/leaf.txt")

    assert path.read_bytes() == b"green"
    assert path.name == "leaf.txt"
    assert stage.context.workdir in path.parents


def test_two_artifacts_of_one_name_stay_apart(stage: Stage) -> None:
    """Reading a second ``leaf.txt`` leaves the first as it was."""
    stage.add_artifact("files/1/leaf.txt", b"green")
    stage.add_artifact("files/2/leaf.txt", b"brown")

    first = stage.context.read_artifact("files/1/leaf.txt")
    second = stage.context.read_artifact("files/2/leaf.txt")

    assert (first.read_bytes(), second.read_bytes()) == (b"green", b"brown")


def test_a_working_copy_is_the_tasks_own(stage: Stage) -> None:
    """What a task does to its copy doesn't change the artifact."""
    stage.add_artifact("files/1/leaf.txt", b"green")

    stage.context.read_artifact("files/1/leaf.txt").write_bytes(b"eaten")

    assert stage.context.read_artifact("files/1/leaf.txt").read_bytes() == b"green"


@pytest.mark.parametrize("key", ["files/1/none.txt", "files/../../other/files/1/a", "", "\x00"])
def test_an_absent_artifact_fails_the_task_for_good(stage: Stage, key: str) -> None:
    """Trying again wouldn't help: PermanentError, with a type for programs."""
    with pytest.raises(PermanentError) as failed:
        stage.context.read_artifact(key)

    assert failed.value.type == "artifact-not-found"


@pytest.mark.parametrize("as_file", [False, True])
def test_a_saved_artifact_is_told_by_task_and_attempt(stage: Stage, *, as_file: bool) -> None:
    """Bytes and files alike; another attempt's artifact of this name has another key."""
    path = stage.context.workdir / "out.txt"
    path.write_bytes(b"roots")

    artifact = stage.context.save_artifact(
        "out.txt",
        path if as_file else b"roots",
        content_type="text/plain",
        metadata={"made-by": "test"},
    )

    key = f"tasks/{stage.context.task_id}/1/out.txt"
    assert artifact == Artifact(name="out.txt", key=key, content_type="text/plain", size=5)
    assert stage.content_of(artifact) == b"roots"


@pytest.mark.parametrize("name", ["", "../out.txt", "a/../../b", "a\x00b"])
def test_an_artifact_needs_a_plain_name(stage: Stage, name: str) -> None:
    """A name that could lead elsewhere is refused before anything is stored."""
    with pytest.raises(ValueError, match="artifact"):
        stage.context.save_artifact(name, b"", content_type="text/plain")


def test_log_lines_name_the_task(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """A line that a task logs can be found by the task's id."""
    with caplog.at_level(logging.INFO):
        stage.context.logger.info("dug %d beds", 3)

    assert caplog.records[-1].getMessage() == "dug 3 beds"
    assert caplog.records[-1].task_id == stage.context.task_id  # type: ignore[attr-defined]


def test_the_working_directory_ends_with_the_attempt(aws: Settings) -> None:
    """In a worker, what a task left in ``workdir`` is removed, however the attempt ended."""
    stage = running_stage()
    assert isinstance(stage.context, RunningContext)
    left: list[Path] = []

    def give_up(context: RunningContext) -> None:
        with context:
            left.append(context.workdir / "half")
            left[0].write_bytes(b"...")
            raise RuntimeError("mid-way")

    with pytest.raises(RuntimeError, match="mid-way"):
        give_up(stage.context)

    assert not left[0].parent.exists()


def test_progress_is_written_at_most_twice_a_second(aws: Settings) -> None:
    """Of a hundred reports in a moment the first and the last are written: writes cost money."""
    stage = running_stage()
    before = services().records.get(stage.context.task_id)

    for step in range(1, 101):
        stage.context.progress(step, 100)

    after = services().records.get(stage.context.task_id)
    assert before is not None
    assert after is not None
    assert after.version == before.version + 2
    assert after.progress is not None
    assert after.progress.current == 100
