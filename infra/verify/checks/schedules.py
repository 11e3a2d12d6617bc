"""Schedules, and tasks that are due later than SQS can keep their messages."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

from infra.verify.check import NotHeld, check
from infra.verify.checks.tasks import SHORT
from infra.verify.checks.workers import put_to_sleep, waited
from infra.verify.trial import Trial

_TYPE = "long-running"
#: Longer than SQS keeps a message back, so the task is a schedule until then.
_LATER = timedelta(minutes=16)
_NEVER_FIRES = "moto's schedules never fire."


@check(
    "schedule-made",
    claims="A task due in over 15 minutes is a one-time schedule with the deployment's own role.",
    proves="delays.md",
)
def schedule_made(trial: Trial) -> str:
    _, schedule = due_later(trial)
    setting = trial.deployment.setting
    wanted = {
        "Arn": setting("SCHEDULE_TARGET_ARN"),
        "RoleArn": setting("SCHEDULE_ROLE_ARN"),
        "DeadLetterConfig": {"Arn": setting("SCHEDULE_DEAD_LETTER_ARN")},
    }
    target = {name: schedule["Target"].get(name) for name in wanted}
    if target != wanted or schedule["ActionAfterCompletion"] != "DELETE":
        raise NotHeld(f"it calls {target}, and then does {schedule['ActionAfterCompletion']}")
    return f"{schedule['ScheduleExpression']}, deleted afterwards"


@check(
    "schedule-fires",
    claims="A delayed task that is due is fired by the function, and its schedule deletes itself.",
    proves="delays.md",
    only_aws=_NEVER_FIRES,
    limit=timedelta(minutes=10),
)
def schedule_fires(trial: Trial) -> str:
    id, schedule = due_later(trial)
    scheduler = trial.deployment.client("scheduler")
    # All of it but the time: docs.aws.amazon.com/scheduler/latest/APIReference/
    # API_UpdateSchedule.html
    kept = ("Name", "GroupName", "FlexibleTimeWindow", "ActionAfterCompletion", "Target")
    due_at = datetime.now(UTC) + timedelta(minutes=1)
    scheduler.update_schedule(
        **{name: schedule[name] for name in kept},
        ScheduleExpression=f"at({due_at:%Y-%m-%dT%H:%M:%S})",
        ScheduleExpressionTimezone="UTC",
    )
    task = trial.ends(id)
    late = datetime.fromisoformat(task["started_at"]) - due_at
    trial.until(
        lambda: schedule_named(trial, schedule["Name"]) is None, "end of the schedule", every=5
    )
    return f"the task started {late.total_seconds():.0f} s after its time; the schedule is gone"


@check(
    "schedule-kept",
    claims="What a caller makes, edits and deletes with /schedules is EventBridge Scheduler's too.",
    proves="schedules.md",
)
def schedule_kept(trial: Trial) -> str:
    id = _make(trial, {"cron": "0 6 * * MON-FRI", "timezone": "Europe/Moscow"})
    made = schedule_named(trial, id)
    body = {"rate": "PT2H"}
    trial.ask("PATCH", f"/schedules/{id}", body=body)
    edited = schedule_named(trial, id)
    if made is None or edited is None:
        raise NotHeld(f"EventBridge Scheduler has no schedule {id}")
    trial.ask("DELETE", f"/schedules/{id}", expect=HTTPStatus.NO_CONTENT)
    if schedule_named(trial, id) is not None:
        raise NotHeld(f"EventBridge Scheduler still has the schedule {id}")
    found = [f"{each['ScheduleExpression']}" for each in (made, edited)]
    if found != ["cron(0 6 ? * MON-FRI *)", "rate(2 hours)"]:
        raise NotHeld(f"its expressions were {found}")
    return f"{found[0]}, then {found[1]}, then gone"


@check(
    "schedule-wakes",
    claims="A schedule fires one task at its time, which starts a worker of a sleeping fleet.",
    proves="schedules.md",
    only_aws=_NEVER_FIRES,
    limit=timedelta(minutes=15),
)
def schedule_wakes(trial: Trial) -> str:
    put_to_sleep(trial)
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=1)
    id = _make(trial, {"at": at.isoformat()})

    def fired() -> list[dict[str, Any]]:
        history = trial.ask("GET", f"/schedules/{id}/history").json()["data"]
        return [each for each in history if each["task_id"]]

    first, *_ = trial.until(fired, f"firing of the schedule {id}", every=5)
    trial.cancels(first["task_id"])
    task = trial.ends(first["task_id"])
    trial.until(lambda: schedule_named(trial, id) is None, "end of the schedule", every=5)
    if len(found := fired()) != 1:
        raise NotHeld(f"it fired {len(found)} tasks")
    late = datetime.fromisoformat(first["fired_at"]) - at
    return f"one task, {late.total_seconds():.0f} s after its time; {waited(task)} to its start"


@check(
    "repair",
    claims="The schedule of the repair calls the function that fires each hour, and it repairs.",
    proves="tasks/cleanup.md#each-hour",
    only_aws="No Lambda starts the function here.",
)
def repair(trial: Trial) -> str:
    # Unique in account and region, as is each name that CloudFormation gives a schedule.
    name = f"{trial.deployment.setting('SCHEDULE_GROUP')}-repair"
    schedule = schedule_named(trial, name)
    if schedule is None:
        raise NotHeld(f"EventBridge Scheduler has no schedule {name}")
    found = schedule["ScheduleExpression"], schedule["State"]
    if found != ("rate(1 hour)", "ENABLED"):
        raise NotHeld(f"it is {' and '.join(found)}")
    target = schedule["Target"]
    began = time.monotonic()
    # docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
    answer = trial.deployment.client("lambda").invoke(
        FunctionName=target["Arn"], Payload=target["Input"].encode()
    )
    if "FunctionError" in answer:
        raise NotHeld(f"the function failed: {answer['Payload'].read()[:300]!r}")
    return f"{found[0]}; a repair takes {time.monotonic() - began:.0f} s"


def due_later(trial: Trial) -> tuple[str, dict[str, Any]]:
    """Submit a task that EventBridge Scheduler keeps; its id and its schedule."""
    id = trial.submit(_TYPE, SHORT, query=f"delay={int(_LATER.total_seconds())}")
    # Named by the task and its first attempt.
    name = f"{id}-1"
    trial.undoes(lambda: delete(trial, name))
    schedule = schedule_named(trial, name)
    if schedule is None:
        raise NotHeld(f"the task {id} has no schedule {name}")
    return id, schedule


def schedule_named(trial: Trial, name: str) -> dict[str, Any] | None:
    """What EventBridge Scheduler has under this name in the deployment's group."""
    scheduler = trial.deployment.client("scheduler")
    group = trial.deployment.setting("SCHEDULE_GROUP")
    try:
        found: dict[str, Any] = scheduler.get_schedule(Name=name, GroupName=group)
    except scheduler.exceptions.ResourceNotFoundException:
        return None
    return found


def delete(trial: Trial, name: str) -> None:
    """Have EventBridge Scheduler forget a schedule, if it has it."""
    if schedule_named(trial, name) is not None:
        trial.deployment.client("scheduler").delete_schedule(
            Name=name, GroupName=trial.deployment.setting("SCHEDULE_GROUP")
        )


def _make(trial: Trial, when: dict[str, str]) -> str:
    """Make a schedule, which is deleted afterwards; its id."""
    body = {"type": _TYPE, "payload": SHORT, **when}
    made = trial.ask("POST", "/schedules", body=body, expect=HTTPStatus.CREATED).json()
    id = str(made["schedule_id"])

    def gone() -> None:
        answer = trial.api.request("DELETE", f"/schedules/{id}", key=trial.key)
        if answer.status not in (204, 404):
            raise NotHeld(f"DELETE /schedules/{id} answered {answer.status}")

    trial.undoes(gone)
    return id


CHECKS = (schedule_made, schedule_kept, schedule_fires, schedule_wakes, repair)
