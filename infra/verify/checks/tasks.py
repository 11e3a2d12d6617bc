"""Every built-in task type reaches SUCCESS, and a task does what callers are promised."""

from __future__ import annotations

import time
import uuid
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from typing import Any

import httpx

from celeriac import Catalogue
from infra.rehearsal.samples import samples, with_files
from infra.verify.check import Check, NotHeld, NotShown, check
from infra.verify.trial import ENDS, Trial

#: Takes mail from a sandbox too, and delivers it to nobody.
#: docs.aws.amazon.com/ses/latest/dg/send-an-email-from-console.html
MAILBOX = "success@simulator.amazonses.com"
MAILING = "send-email"
SHORT = {"total_steps": 1, "step_seconds": 0}
#: Over 48 KiB, so it goes by S3 and not in the message; the result is over 32 KiB.
ITEMS = ["x" * 1024] * 64
LARGE = {**SHORT, "items": ITEMS}


def type_checks(types: Catalogue) -> tuple[Check, ...]:
    """A check for each task type that has examples."""
    return tuple(
        Check(
            id=f"type-{name}",
            claims=f"Each example of `{name}` ends in SUCCESS.",
            proves=f"tasks/{name}.md",
            attempt=partial(_examples_succeed, name, found),
            limit=timedelta(minutes=5),
        )
        for name, found in samples(types).items()
    )


def _examples_succeed(name: str, examples: list[dict[str, Any]], trial: Trial) -> str:
    if name == MAILING and trial.deployment.setting("MAIL_FROM") == "null":
        raise NotShown("The deployment sends no mail: it has no `mail`.")
    ids = [trial.submit(name, _to_mailbox(with_files(each, trial.upload))) for each in examples]
    ended = [trial.ends(id) for id in ids]
    return f"{len(ended)} in SUCCESS, at attempt {max(each['attempt'] for each in ended)}"


def _to_mailbox(sample: Any) -> Any:
    """A sample with SES's own mailbox in place of each address of the examples."""
    match sample:
        case dict():
            return {name: _to_mailbox(value) for name, value in sample.items()}
        case list():
            return [_to_mailbox(value) for value in sample]
        case str() if sample.endswith("@example.com"):
            return MAILBOX
        case _:
            return sample


@check(
    "wrong-payload",
    claims="A wrong payload is a 422 that names the wrong field, and is no task.",
    proves="api.md#problems",
)
def wrong_payload(trial: Trial) -> str:
    answer = trial.ask(
        "POST",
        "/tasks/long-running",
        body={"total_steps": 0},
        expect=HTTPStatus.UNPROCESSABLE_ENTITY,
    ).json()
    pointers = [each["pointer"] for each in answer["errors"]]
    if pointers != ["#/total_steps"]:
        raise NotHeld(f"the problem names {pointers}")
    return f"{answer['type']} at {pointers[0]}"


@check(
    "unknown-task",
    claims="An unknown task id is a 404.",
    proves="api.md#keys",
)
def unknown_task(trial: Trial) -> str:
    answer = trial.ask("GET", f"/tasks/{uuid.uuid4()}", expect=HTTPStatus.NOT_FOUND)
    return str(answer.json()["type"])


@check(
    "long-poll",
    claims="A long poll answers when the task changes, before its wait is over.",
    proves="api.md#following",
)
def long_poll(trial: Trial) -> str:
    id = trial.submit("long-running", {"total_steps": 2, "step_seconds": 3})
    trial.starts(id)
    answer = trial.ask("GET", f"/tasks/{id}")
    began, polls = time.monotonic(), 0
    while answer.json()["status"] not in ENDS:
        # A wait that is over is a 304.
        headers = {"if-none-match": answer.headers["etag"]}
        answer = trial.ask("GET", f"/tasks/{id}", query="wait=20", headers=headers)
        polls += 1
    if not polls:
        raise NotHeld("the task ended before it was polled")
    return f"{polls} polls followed it to its end, in {time.monotonic() - began:.1f} s"


@check(
    "idempotency",
    claims="A repeated idempotency key gives the same task, and with another body a 422.",
    proves="api.md#submitting",
)
def idempotency(trial: Trial) -> str:
    key = str(uuid.uuid4())
    first = trial.submit("long-running", SHORT, idempotency_key=key)
    headers = {"idempotency-key": key}
    again = trial.ask(
        "POST", "/tasks/long-running", body=SHORT, headers=headers, expect=HTTPStatus.ACCEPTED
    )
    if again.json()["task_id"] != first or again.headers.get("idempotent-replayed") != "true":
        raise NotHeld(f"the second request gave {again.json()['task_id']}, the first {first}")
    trial.ask(
        "POST",
        "/tasks/long-running",
        body={"total_steps": 2},
        headers=headers,
        expect=HTTPStatus.UNPROCESSABLE_ENTITY,
    )
    return "replayed once, refused once"


@check(
    "cancel-waiting",
    claims="A waiting task is REVOKED by the answer to its cancellation.",
    proves="delivery.md#the-conditional-writes",
)
def cancel_waiting(trial: Trial) -> str:
    id = trial.submit("long-running", SHORT, query="delay=60")
    state = trial.ask("DELETE", f"/tasks/{id}").json()["status"]
    if state != "REVOKED":
        raise NotHeld(f"the answer says {state}")
    return "REVOKED at once"


@check(
    "cancel-running",
    claims="A running task is REVOKED within seconds of its cancellation.",
    proves="delivery.md#the-conditional-writes",
)
def cancel_running(trial: Trial) -> str:
    id = trial.submit("long-running", {"total_steps": 100, "step_seconds": 2})
    trial.starts(id)
    trial.ask("DELETE", f"/tasks/{id}", expect=HTTPStatus.ACCEPTED)
    task = trial.ends(id, "REVOKED")
    return f"REVOKED at {task['finished_at']}, having run since {task['started_at']}"


@check(
    "large-result",
    claims="A result over 32 KiB is a 303 to a link in S3, which has the whole of it.",
    proves="api.md#results",
)
def large_result(trial: Trial) -> str:
    id = trial.submit("long-running", LARGE)
    trial.ends(id)
    answer = trial.ask("GET", f"/tasks/{id}/result", expect=HTTPStatus.SEE_OTHER)
    document = httpx.get(answer.headers["location"]).raise_for_status()
    items = document.json()["result"]["items"]
    if len(items) != len(ITEMS):
        raise NotHeld(f"the document has {len(items)} of {len(ITEMS)} items")
    return f"{len(document.content):,} bytes from S3"


CHECKS = (
    wrong_payload,
    unknown_task,
    long_poll,
    idempotency,
    cancel_waiting,
    cancel_running,
    large_result,
)
