"""What callers and operators do besides submitting: each grant of the API has an action here.

They run while no worker does, so that every message stays where it is until the action is over.
"""

from __future__ import annotations

import json
import time
from http import HTTPStatus
from typing import Any

import httpx

from infra.rehearsal.caller import Caller
from infra.rehearsal.deployment import RehearsalError, Server, same
from infra.rehearsal.function import Function
from infra.rehearsal.schedules import Schedules
from tasks.queues import DEFAULT

_TYPE = "long-running"
_QUEUE = DEFAULT
_SHORT = {"total_steps": 1, "step_seconds": 0}
# Over 48 KiB: it goes by S3, not in the message.
_LARGE = {**_SHORT, "items": ["x" * 1024] * 64}

_BOUNCED = "bounce@simulator.amazonses.com"

#: Longer than the deployment's visibility.
_EMPTY_SECONDS = 60


def look_around(caller: Caller) -> None:
    """List, filter, ask for the catalogue and for health."""
    for query in ("", "status=FAILURE"):
        caller.ask("GET", "/tasks", query=query)
    caller.ask("GET", "/catalogue")
    caller.ask("GET", "/health")


def submit_large(caller: Caller) -> str:
    """Submit a task whose payload and result are too large for a message; its id."""
    return caller.submit(_TYPE, _LARGE)


def retry_large(caller: Caller) -> str:
    """Retry a task with a large payload, which is stored and then read again; the new id."""
    first = caller.submit(_TYPE, _LARGE)
    caller.ask("DELETE", f"/tasks/{first}")
    retried = caller.ask("POST", f"/tasks/{first}/retry", expect=HTTPStatus.ACCEPTED)
    return str(retried.json()["task_id"])


def follow_large_result(caller: Caller, ended: str) -> None:
    """A large result is fetched by the link that the API signs for it."""
    answer = caller.ask("GET", f"/tasks/{ended}/result", expect=HTTPStatus.SEE_OTHER)
    httpx.get(answer.headers["location"]).raise_for_status()


def cancel(caller: Caller) -> None:
    """A waiting task ends at once when it is cancelled."""
    id = caller.submit(_TYPE, _SHORT)
    same(caller.ask("DELETE", f"/tasks/{id}").json()["status"], "REVOKED")


def submit_due_later(caller: Caller) -> str:
    """A submission is repeated while EventBridge Scheduler keeps the task: so is its schedule.

    Its payload is too large for a message, and waits in S3. Returns the task's id.
    """
    ids = [
        caller.submit(_TYPE, _LARGE, query="delay=PT1H", idempotency_key="due-later")
        for _ in range(2)
    ]
    same(ids[0], ids[1])
    return ids[0]


def fire_what_is_due_later(
    server: Server, caller: Caller, schedules: Schedules, cluster: str, task_id: str
) -> None:
    """The schedule of that task comes to its time: its message is sent, and a worker is woken."""
    ecs = server.client("ecs")
    ecs.update_service(cluster=cluster, service=_QUEUE.name, desiredCount=0)
    schedules.fire_task(task_id)
    found = ecs.describe_services(cluster=cluster, services=[_QUEUE.name])["services"]
    same(found[0]["desiredCount"], 1)
    # Its message is there. Doubles of tasks that have ended may be, too.
    same(caller.ask("POST", f"/queues/{_QUEUE.name}/purge").json()["revoked"], [task_id])


def bounce(function: Function, caller: Caller, mailed: str, configuration_set: str) -> None:
    """SES tells the deployment that a task's mail bounced, and the task says so.

    docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-examples.html
    """
    event = {
        "eventType": "Bounce",
        "bounce": {
            "bounceType": "Permanent",
            "bounceSubType": "General",
            "bouncedRecipients": [{"emailAddress": _BOUNCED}],
            "timestamp": "2026-11-25T12:00:00.000Z",
        },
        "mail": {
            "timestamp": "2026-11-25T12:00:00.000Z",
            "destination": [_BOUNCED],
            "tags": {
                "ses:configuration-set": [configuration_set],
                "celeriac-task-id": [mailed],
            },
        },
    }
    function.invoke(
        {"Records": [{"EventSource": "aws:sns", "Sns": {"Message": json.dumps(event)}}]}
    )
    mail = caller.ask("GET", f"/tasks/{mailed}").json()["mail"]
    same([each["recipient"] for each in mail["bounced"]], [_BOUNCED])


def redrive_and_purge(server: Server, caller: Caller, urls: str) -> None:
    """Look at a queue and its dead letters, redrive the one that can run, remove the rest.

    ``urls`` is the beginning of the queues' URLs. Only killed workers make a dead letter of a
    message that can run, so it is moved there by hand, next to one that can't be read.
    """
    sqs = server.client("sqs")
    queue, dead_letters = urls + _QUEUE.name, urls + _QUEUE.dead_letter_name
    here = f"/queues/{_QUEUE.name}"
    _empty(sqs, caller, here, queue)
    waiting = caller.submit(_TYPE, _SHORT)
    (moved,) = sqs.receive_message(QueueUrl=queue)["Messages"]
    sqs.send_message(QueueUrl=dead_letters, MessageBody=moved["Body"])
    sqs.send_message(QueueUrl=dead_letters, MessageBody="not a task")
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=moved["ReceiptHandle"])

    same(len(caller.ask("GET", here).json()["dead_letter_sample"]), 2)
    redriven = caller.ask("POST", f"{here}/redrive").json()
    same(redriven["sent_again"], [waiting])
    same(len(redriven["stay"]), 1)
    same(caller.ask("GET", here).json()["waiting"], 1)
    same(caller.ask("POST", f"{here}/purge").json()["revoked"], [waiting])
    same(caller.ask("POST", f"{here}/purge", query="dead_letters=true").json()["removed"], 1)


def lose(server: Server, caller: Caller, urls: str, cluster: str) -> None:
    """Lose the message of a large task that was submitted twice. Workers sleep."""
    caller.submit(_TYPE, _LARGE, idempotency_key="lost")
    caller.submit(_TYPE, _LARGE, idempotency_key="lost")
    server.client("sqs").purge_queue(QueueUrl=urls + _QUEUE.name)
    server.client("ecs").update_service(cluster=cluster, service=_QUEUE.name, desiredCount=0)


def lose_again(server: Server, urls: str) -> None:
    """The message is there again, and is lost again: a queue is purged once a minute at most."""
    sqs, queue = server.client("sqs"), urls + _QUEUE.name
    messages = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
    same(len(messages), 1)
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=messages[0]["ReceiptHandle"])


def see_sent_again(caller: Caller, repair: str) -> None:
    """The repair has found the one lost task."""
    result = caller.ask("GET", f"/tasks/{repair}/result").json()["result"]
    same(result["messages_resent"], 1)


def submit_to_a_missing_queue(server: Server, caller: Caller, urls: str) -> None:
    """A deleted queue takes no message, so the record is deleted too. The last action."""
    before = caller.ask("GET", "/tasks").json()
    server.client("sqs").delete_queue(QueueUrl=urls + _QUEUE.name)
    # A missing queue is our mistake, and doesn't pass by itself: no 503.
    caller.ask("POST", f"/tasks/{_TYPE}", body=_SHORT, expect=HTTPStatus.INTERNAL_SERVER_ERROR)
    same(caller.ask("GET", "/tasks").json(), before)


def _empty(sqs: Any, caller: Caller, here: str, queue: str) -> None:
    """Purge until nothing is left, in flight either.

    moto still gives a message to the long poll of a worker that has ended. It comes back when its
    visibility is over.
    """
    counts = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    deadline = time.monotonic() + _EMPTY_SECONDS
    while time.monotonic() < deadline:
        caller.ask("POST", f"{here}/purge")
        found = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=counts)["Attributes"]
        if not any(int(each) for each in found.values()):
            return
        time.sleep(0.5)
    raise RehearsalError(f"{queue} isn't empty: {found}.")
