"""A task that makes schedules of its own."""

from __future__ import annotations

from types import ModuleType

from celeriac import states
from celeriac.storage.services import services
from tests.faults.stack import Stack


def test_a_task_makes_edits_pauses_runs_and_deletes_a_schedule(
    stack: Stack, tasks: ModuleType
) -> None:
    """With a worker's permissions it does all that a caller may do over HTTP."""
    stack.start_worker(1)

    seen = tasks.scheduling.delay().get(timeout=30)

    schedule_id = seen.pop("schedule_id")
    stack.wait_for_state(seen.pop("task_id"), states.SUCCESS)
    assert seen == {
        "edited": "rate(1 hour)",
        "paused": True,
        "listed": True,
        "resumed": True,
        "fired": True,
        "left": False,
    }
    there = services().scheduler.list_schedules()["Schedules"]
    assert schedule_id not in [each["Name"] for each in there]
