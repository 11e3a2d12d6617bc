"""What callers and operators do besides submitting: each grant of the API has an errand here.

They run while no worker does, so that what is sent stays where it is until the errand is over.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import httpx

from infra.rehearsal.caller import Caller
from infra.rehearsal.deployment import ROOT, RehearsalError, Server
from tasks.contract import Queue

_TYPE = "long-running"
_QUEUE = Queue.DEFAULT
_SHORT = {"total_steps": 1, "step_seconds": 0}
# Over 48 KiB: it goes by S3, not in the message.
_LARGE = {**_SHORT, "items": ["x" * 1024] * 64}

_KEY = "due-later"
_DUE_LATER = f"""
from datetime import timedelta
from celeriac.submission import submit
submit({_TYPE!r}, {_SHORT!r}, idempotency_key={_KEY!r}, delay=timedelta(hours=1))
"""


def look_around(caller: Caller, ended: str) -> None:
    """List, filter, ask for the catalogue and for what a task gave."""
    for query in ("", "status=FAILURE"):
        caller.ask("GET", "/tasks", query=query)
    caller.ask("GET", "/catalogue")
    caller.ask("GET", "/health")
    caller.ask("GET", f"/tasks/{ended}/result")


def fetch_large(caller: Caller) -> str:
    """Submit what is too large for a message; its id. The payload is stored, then read again."""
    first = caller.submit(_TYPE, _LARGE)
    caller.ask("DELETE", f"/tasks/{first}")
    retried = caller.ask("POST", f"/tasks/{first}/retry", expect=HTTPStatus.ACCEPTED)
    return str(retried.json()["task_id"])


def follow_large_result(caller: Caller, ended: str) -> None:
    """A large result is fetched by the link that the API signs for it."""
    answer = caller.ask("GET", f"/tasks/{ended}/result", expect=HTTPStatus.SEE_OTHER)
    httpx.get(answer.headers["location"]).raise_for_status()


def cancel(caller: Caller) -> None:
    """A task that waits ends at once."""
    id = caller.submit(_TYPE, _SHORT)
    _same(caller.ask("DELETE", f"/tasks/{id}").json()["status"], "REVOKED")


def send_again_what_is_due_later(caller: Caller, deployer: Mapping[str, str]) -> None:
    """Repeating a submission of a task that EventBridge Scheduler keeps makes its schedule again.

    HTTP takes delays of up to 15 minutes; Python callers may ask for more, as the first one does.
    """
    subprocess.run(  # noqa: S603  the program above
        [sys.executable, "-c", _DUE_LATER],
        cwd=ROOT,
        env=dict(deployer),
        check=True,
        capture_output=True,
    )
    caller.submit(_TYPE, _SHORT, idempotency_key=_KEY)


def redrive_and_purge(server: Server, caller: Caller, urls: str) -> None:
    """Look at a queue and its dead letters, send back what can run, remove the rest.

    ``urls`` is what the queues' URLs begin with. Nothing but killed workers makes a dead letter of
    a message that can run, so it is moved there by hand, next to one that nobody can read.
    """
    sqs = server.client("sqs")
    queue, dead_letters = urls + _QUEUE.queue_name, urls + _QUEUE.dead_letter_name
    here = f"/queues/{_QUEUE.queue_name}"
    caller.ask("POST", f"{here}/purge")
    waiting = caller.submit(_TYPE, _SHORT)
    (moved,) = sqs.receive_message(QueueUrl=queue)["Messages"]
    sqs.send_message(QueueUrl=dead_letters, MessageBody=moved["Body"])
    sqs.send_message(QueueUrl=dead_letters, MessageBody="not a task")
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=moved["ReceiptHandle"])

    _same(len(caller.ask("GET", here).json()["dead_letter_sample"]), 2)
    redriven = caller.ask("POST", f"{here}/redrive").json()
    _same(redriven["sent_again"], [waiting])
    _same(len(redriven["stay"]), 1)
    _same(caller.ask("GET", here).json()["waiting"], 1)
    _same(caller.ask("POST", f"{here}/purge").json()["revoked"], [waiting])
    _same(caller.ask("POST", f"{here}/purge", query="dead_letters=true").json()["removed"], 1)


def lose(server: Server, caller: Caller, urls: str, cluster: str) -> str:
    """A large task whose message is lost, after it was sent twice; its id. Its workers sleep."""
    caller.submit(_TYPE, _LARGE, idempotency_key="lost")
    lost = caller.submit(_TYPE, _LARGE, idempotency_key="lost")
    server.client("sqs").purge_queue(QueueUrl=urls + _QUEUE.queue_name)
    server.client("ecs").update_service(cluster=cluster, service=_QUEUE.queue_name, desiredCount=0)
    return lost


def see_sent_again(caller: Caller, repair: str, lost: str) -> None:
    """The repair has found the lost task, and no other."""
    result = caller.ask("GET", f"/tasks/{repair}/result").json()["result"]
    _same(result["messages_resent"], [lost])


def submit_in_vain(server: Server, caller: Caller, urls: str) -> None:
    """A queue that is gone takes no message, and the record goes again. The last of the errands."""
    before = caller.ask("GET", "/tasks").json()
    server.client("sqs").delete_queue(QueueUrl=urls + _QUEUE.queue_name)
    # A queue that isn't there is our mistake, not a fault that passes: no 503.
    caller.ask("POST", f"/tasks/{_TYPE}", body=_SHORT, expect=HTTPStatus.INTERNAL_SERVER_ERROR)
    _same(caller.ask("GET", "/tasks").json(), before)


def _same(found: Any, expected: Any) -> None:
    if found != expected:
        raise RehearsalError(f"{expected!r} was expected here, not {found!r}.")
