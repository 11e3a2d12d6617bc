"""Messages that no worker can run, and messages that are due later than SQS can keep."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from infra.verify.check import NotHeld, NotShown, check
from infra.verify.checks.tasks import SHORT
from infra.verify.keys import TENANT
from infra.verify.trial import Trial
from tasks.queues import DEFAULT

_TYPE = "long-running"
_QUEUE = DEFAULT
#: Longer than SQS keeps a message back, so the task is a schedule until then.
_LATER = timedelta(minutes=16)
#: SQS tells CloudWatch of a queue that was idle for hours only some minutes after it is used.
#: docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/
#: sqs-monitoring-using-cloudwatch.html
_UNTIL_ALARM = timedelta(minutes=20)
#: How often a dead letter is looked for, to remove it: a receive may miss what another holds.
_RECEIVES = 10

_SUBMIT_LATER = """
from datetime import timedelta
from celeriac import submit
later = timedelta(seconds={seconds})
print(submit({type!r}, {payload!r}, tenant={tenant!r}, delay=later).record.task_id)
"""


@check(
    "dead-letter",
    claims="A message that can't be read is set aside, and GET /queues/{name} says why it was.",
    proves="monitoring.md#dead-letters",
)
def dead_letter(trial: Trial) -> str:
    _no_dead_letters_of_others(trial)
    _poison(trial)
    letter = trial.until(lambda: _letters(trial), "dead letter", every=0.5)[0]
    why = letter["why"]["type"]
    if why != "undecodable-message":
        raise NotHeld(f"the queue says {why}")
    return f"{why}; a redrive would {letter['redrive']}"


@check(
    "redrive",
    claims="A redrive runs the dead letter that can run, and leaves the one that can't.",
    proves="monitoring.md#dead-letters",
)
def redrive(trial: Trial) -> str:
    _no_dead_letters_of_others(trial)
    # A waiting task's message, as SQS would set it aside after 20 receives: its schedule has it.
    id, schedule = _scheduled(trial)
    _delete(trial, schedule["Name"])
    _send(trial, _QUEUE.dead_letter_name, schedule["Target"]["Input"])
    _send_unreadable(trial, _QUEUE.dead_letter_name)
    trial.until(lambda: _letters(trial)[1:], "second dead letter", every=0.5)
    done = trial.ask("POST", f"/queues/{_QUEUE.name}/redrive").json()
    if done["sent_again"] != [id] or len(done["stay"]) != 1:
        raise NotHeld(f"the redrive says {done}")
    trial.ends(id)
    return "one ended in SUCCESS, one stays"


@check(
    "dead-letter-alarm",
    claims="A dead letter puts the queue's dead-letter alarm into ALARM.",
    proves="runbook.md#dead-letter",
    only_aws="moto evaluates no alarm.",
    limit=_UNTIL_ALARM,
)
def dead_letter_alarm(trial: Trial) -> str:
    _no_dead_letters_of_others(trial)
    name = f"{trial.deployment.environment.prefix}-{_QUEUE.name}-dead-letter"
    began = time.monotonic()
    _poison(trial)

    def alarms() -> bool:
        found = trial.deployment.client("cloudwatch").describe_alarms(AlarmNames=[name])
        (alarm,) = found["MetricAlarms"]
        return bool(alarm["StateValue"] == "ALARM")

    trial.until(alarms, f"ALARM of {name}", every=10)
    return f"{name} in ALARM after {time.monotonic() - began:.0f} s"


@check(
    "schedule-made",
    claims="A task due in over 15 minutes is a one-time schedule with the deployment's own role.",
    proves="architecture.md#the-life-of-a-task",
)
def schedule_made(trial: Trial) -> str:
    _, schedule = _scheduled(trial)
    setting = trial.deployment.setting
    wanted = {
        "Arn": setting("QUEUE_ARN_PREFIX") + _QUEUE.name,
        "RoleArn": setting("SCHEDULE_ROLE_ARN"),
        "DeadLetterConfig": {"Arn": setting("SCHEDULE_DEAD_LETTER_ARN")},
    }
    target = {name: schedule["Target"].get(name) for name in wanted}
    if target != wanted or schedule["ActionAfterCompletion"] != "DELETE":
        raise NotHeld(f"it sends {target}, and then does {schedule['ActionAfterCompletion']}")
    return f"{schedule['ScheduleExpression']}, deleted afterwards"


@check(
    "schedule-fires",
    claims="A schedule that is due sends its task, with the role it has, and deletes itself.",
    proves="architecture.md#the-life-of-a-task",
    only_aws="moto's schedules never fire.",
    limit=timedelta(minutes=10),
)
def schedule_fires(trial: Trial) -> str:
    id, schedule = _scheduled(trial)
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
    trial.until(lambda: _schedule(trial, schedule["Name"]) is None, "end of the schedule", every=5)
    return f"the task started {late.total_seconds():.0f} s after its time; the schedule is gone"


def _scheduled(trial: Trial) -> tuple[str, dict[str, Any]]:
    """Submit a task that EventBridge Scheduler keeps; its id and its schedule.

    Raises:
        NotShown: the run's caller has a token, and sees no task of Python code.
    """
    if trial.deployment.environment.jwt:
        raise NotShown("The run's token is of another tenant than the tasks of Python code.")
    program = _SUBMIT_LATER.format(
        type=_TYPE, payload=SHORT, tenant=TENANT, seconds=int(_LATER.total_seconds())
    )
    # Before the id, the submission's metric is printed.
    id = trial.deployment.python(program).splitlines()[-1]
    trial.cancels(id)
    # Named by the task and its first attempt.
    name = f"{id}-1"
    trial.undoes(lambda: _delete(trial, name))
    schedule = _schedule(trial, name)
    if schedule is None:
        raise NotHeld(f"the task {id} has no schedule {name}")
    return id, schedule


def _schedule(trial: Trial, name: str) -> dict[str, Any] | None:
    scheduler = trial.deployment.client("scheduler")
    group = trial.deployment.setting("SCHEDULE_GROUP")
    try:
        found: dict[str, Any] = scheduler.get_schedule(Name=name, GroupName=group)
    except scheduler.exceptions.ResourceNotFoundException:
        return None
    return found


def _delete(trial: Trial, name: str) -> None:
    if _schedule(trial, name) is not None:
        trial.deployment.client("scheduler").delete_schedule(
            Name=name, GroupName=trial.deployment.setting("SCHEDULE_GROUP")
        )


def _poison(trial: Trial) -> None:
    """Send what no worker can read to the queue itself, and wake a worker for it."""
    _send_unreadable(trial, _QUEUE.name)
    trial.submit(_TYPE, SHORT)


def _send_unreadable(trial: Trial, queue: str) -> None:
    """Send what is no task, and remove it from the dead-letter queue afterwards."""
    body = f"verify {uuid.uuid4()} is not a task"
    trial.undoes(lambda: _remove(trial, body))
    _send(trial, queue, body)


def _send(trial: Trial, queue: str, body: str) -> None:
    trial.deployment.client("sqs").send_message(
        QueueUrl=trial.deployment.queue_url(queue), MessageBody=body, MessageGroupId=TENANT
    )


def _remove(trial: Trial, body: str) -> None:
    """Delete this dead letter, and leave all others visible.

    Raises:
        NotHeld: it isn't there.
    """
    url = trial.deployment.queue_url(_QUEUE.dead_letter_name)
    sqs = trial.deployment.client("sqs")
    for _ in range(_RECEIVES):
        found = False
        received = sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1, VisibilityTimeout=30
        )
        for each in received.get("Messages", []):
            handle = each["ReceiptHandle"]
            if each["Body"] == body:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=handle)
                found = True
            else:
                sqs.change_message_visibility(
                    QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=0
                )
        if found:
            return
    raise NotHeld(f"the message {body!r} is not in {url}")


def _letters(trial: Trial) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = trial.ask("GET", f"/queues/{_QUEUE.name}").json()[
        "dead_letter_sample"
    ]
    return found


def _no_dead_letters_of_others(trial: Trial) -> None:
    """A redrive would run those too.

    Raises:
        NotShown: there are some.
    """
    if count := trial.ask("GET", f"/queues/{_QUEUE.name}").json()["dead_letters"]:
        raise NotShown(
            f"The {_QUEUE.name} queue has {count} dead letters of others: redrive or purge them."
        )


CHECKS = (dead_letter, redrive, schedule_made, schedule_fires)
LATE = (dead_letter_alarm,)
