"""Messages that no worker can run, and messages of several tenants."""

from __future__ import annotations

import json
import time
import uuid
from datetime import timedelta
from typing import Any

from infra.verify.check import NotHeld, NotShown, check
from infra.verify.checks.schedules import delete, due_later
from infra.verify.checks.tasks import SHORT
from infra.verify.keys import TENANT
from infra.verify.trial import Trial
from tasks.queues import DEFAULT

_TYPE = "long-running"
_QUEUE = DEFAULT
#: SQS tells CloudWatch of a queue that was idle for hours only some minutes after it is used.
#: docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/
#: sqs-monitoring-using-cloudwatch.html
_UNTIL_ALARM = timedelta(minutes=20)
#: How often a dead letter is looked for, to remove it: a receive may miss what another holds.
_RECEIVES = 10

#: More than a fleet's workers run while another tenant's task comes and goes.
_FLOOD = 200
_SLOW = {"total_steps": 1, "step_seconds": 20}

_RUN_AS = """
import time
from celeriac import find, submit
id = submit({type!r}, {payload!r}, tenant={tenant!r}).record.task_id
while not find(id, {tenant!r}).terminal:
    time.sleep(1)
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
    # A waiting task's message, as SQS would set it aside after 20 receives. None has been sent yet.
    id, schedule = due_later(trial)
    delete(trial, schedule["Name"])
    _send(trial, _QUEUE.dead_letter_name, _message(id))
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
    "fair-queues",
    claims="A tenant's task begins while another tenant's flood of tasks waits in the same queue.",
    proves="tenants.md#fair-queues",
    only_aws="moto's queues deliver the oldest message first.",
    limit=timedelta(minutes=10),
)
def fair_queues(trial: Trial) -> str:
    if trial.deployment.environment.jwt:
        raise NotShown("Python code submits as the other tenant, and the run's caller has a token.")
    for _ in range(_FLOOD):
        trial.submit(_TYPE, _SLOW)
    began = time.monotonic()
    trial.deployment.python(_RUN_AS.format(type=_TYPE, payload=SHORT, tenant=f"{TENANT}-quiet"))
    waiting = trial.ask("GET", f"/queues/{_QUEUE.name}").json()["waiting"]
    if waiting < _FLOOD // 2:
        raise NotHeld(f"{waiting} of {_FLOOD} messages of the flood waited when it had begun")
    return f"it ended after {time.monotonic() - began:.0f} s; {waiting} of the flood still waited"


def _message(id: str) -> str:
    """The message of a task's first attempt: Celery's protocol in kombu's envelope."""
    headers = {
        "lang": "py",
        "task": _TYPE,
        "id": id,
        "root_id": id,
        "retries": 0,
        "celeriac": {"v": 1, "tenant": TENANT, "attempt": 1},
    }
    properties = {
        "correlation_id": id,
        "delivery_info": {"exchange": "", "routing_key": _QUEUE.name},
        "delivery_tag": str(uuid.uuid4()),
    }
    return json.dumps(
        {
            "body": json.dumps([[SHORT], {}, {}]),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": headers,
            "properties": properties,
        }
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


CHECKS = (dead_letter, redrive, fair_queues)
LATE = (dead_letter_alarm,)
