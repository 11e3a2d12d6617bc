"""A schedule fires, and a real worker runs its task: once, however often it is called."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from celeriac import clock, schedules, states
from celeriac.app.factory import CeleriacApp
from celeriac.cli.main import app as cli
from celeriac.contract import Schedule
from celeriac.operations import firing
from celeriac.operations.scheduled import ScheduleNotFoundError
from celeriac.settings import settings
from celeriac.storage.services import services
from tests.integration.operations.conftest import StartWorker, record_of, wait_for_end


@pytest.fixture
def the_app(app: CeleriacApp, monkeypatch: pytest.MonkeyPatch) -> CeleriacApp:
    """EventBridge's calls find these task types."""
    monkeypatch.setattr("celeriac.operations.firings.celery_app", lambda: app)
    return app


def call(schedule_id: str, scheduled_time: str, execution_id: str) -> None:
    """Call the target with the input that EventBridge keeps, its two values put in."""
    kept = services().scheduler.get_schedule(GroupName=settings().schedule_group, Name=schedule_id)
    text = kept["Target"]["Input"]
    text = text.replace("<aws.scheduler.scheduled-time>", scheduled_time)
    firing.fire(json.loads(text.replace("<aws.scheduler.execution-id>", execution_id)))


def test_a_worker_runs_what_a_schedule_fires_once_each_time(
    the_app: CeleriacApp, start_worker: StartWorker, tmp_path: Path
) -> None:
    """Two calls for one time are one line; the next time is another."""
    file = tmp_path / "lines"
    found = schedules.create(
        "note", Schedule.rate(timedelta(hours=1), payload={"path": str(file)}), app=the_app
    )
    start_worker()
    for time, execution in (("10", "e-1"), ("10", "e-2"), ("11", "e-3")):
        call(found.schedule_id, f"2090-01-31T{time}:00:00Z", execution)
    fired = schedules.history(found.schedule_id, app=the_app)
    assert [each.execution_id for each in fired] == ["e-3", "e-1"]
    for each in fired:
        assert each.task_id is not None
        assert wait_for_end(each.task_id).state == states.SUCCESS
        assert record_of(each.task_id).schedule_id == found.schedule_id
    assert file.read_text().splitlines() == ["done", "done"]


def test_beats_entry_is_fired_as_a_task_of_its_own(
    the_app: CeleriacApp, start_worker: StartWorker, tmp_path: Path
) -> None:
    """A typed task's, by the name that code gives; and one that only Celery knows."""
    file = tmp_path / "lines"
    the_app.conf.beat_schedule = {
        "nightly": {"task": "note", "schedule": 3600, "args": [{"path": str(file)}]},
        "cleaning": {
            "task": "celery.backend_cleanup",
            "schedule": 3600,
            "options": {"queue": "default"},
        },
    }
    start_worker()
    for name in ("beat-nightly", "beat-cleaning"):
        for execution in ("e-1", "e-2"):
            event = {
                "celeriac": "schedule",
                "schedule_id": name,
                "scheduled_time": "2090-01-31T10:00:00Z",
                "execution_id": execution,
            }
            firing.fire(event)
        [fired] = schedules.history(name, app=the_app)
        assert fired.task_id is not None
        record = wait_for_end(fired.task_id)
        assert (record.state, record.schedule_id) == (states.SUCCESS, name)
    assert file.read_text().splitlines() == ["done"]


def test_a_late_call_says_how_late_it_was(the_app: CeleriacApp, tmp_path: Path) -> None:
    """The history has the time that was meant, and the time at which it fired."""
    found = schedules.create(
        "note", Schedule.rate(timedelta(hours=1), payload={"path": str(tmp_path)}), app=the_app
    )
    call(found.schedule_id, "2020-01-31T10:00:00Z", "e-1")
    [fired] = schedules.history(found.schedule_id, app=the_app)
    assert clock.to_datetime(fired.scheduled_at).year == 2020
    assert clock.now() - fired.fired_at < 60_000


def test_the_command_line_does_what_http_does(
    the_app: CeleriacApp, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """List, pause, run, history, resume and delete; an unknown schedule is one line."""
    for module in ("schedules", "scheduling"):
        monkeypatch.setattr(f"celeriac.operations.{module}.celery_app", lambda: the_app)
    found = schedules.create(
        "note", Schedule.cron("0 6 * * *", payload={"path": str(tmp_path)}), app=the_app
    )

    def command(*words: str) -> str:
        done = CliRunner().invoke(cli, ["schedules", *words])
        assert done.exit_code == 0, done.output
        return done.output

    here = found.schedule_id
    [listed] = json.loads(command("list", "--json"))
    assert (listed["schedule_id"], listed["expression"]) == (here, "cron(0 6 * * ? *)")
    command("pause", here)
    assert "paused" in command("list")
    task_id = command("run", here, "--idempotency-key", "k").strip()
    assert command("run", here, "--idempotency-key", "k").strip() == task_id
    shown = json.loads(command("show", here))
    assert (shown["payload"], shown["paused"]) == ({"path": str(tmp_path)}, True)
    assert record_of(task_id).schedule_id == here
    [fired] = json.loads(command("history", here, "--json"))
    assert (fired["task_id"], fired["by_hand"]) == (task_id, True)
    assert fired["task_status"] == states.PENDING
    assert "by hand" in command("history", here)
    command("resume", here)
    assert len(json.loads(command("list", "--json"))[0]["next_fire_times"]) == 5
    command("delete", here)
    assert json.loads(command("list", "--json")) == []
    refused = CliRunner().invoke(cli, ["schedules", "pause", here])
    assert isinstance(refused.exception, ScheduleNotFoundError)
