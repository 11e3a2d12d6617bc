"""What is stored, by whatever code, never makes an answer fail."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from celeriac import clock, states
from celeriac.app.factory import make_app
from celeriac.http.app import create_app
from celeriac.records import TaskRecord, identifiers
from celeriac.storage.services import services
from celeriac.transport.call import Call
from celeriac.transport.message import Message
from tasks.queues import DEFAULT
from tests.integration.api.conftest import Api, Worker, problem
from tests.integration.api.throwaway import CATALOGUE

KOMBUS = {"__type__": "datetime", "__value__": "2025-01-01"}


def keep(worker: Worker, task_id: str, text: str) -> None:
    """End a task with a result that is kept as this text."""
    record = worker.claim(task_id)
    outcome = f'{{"result": {text}}}'
    reference = services().values.put(record.tenant, task_id, "result", outcome, record.expires_at)
    services().records.finish(task_id, "me", states.SUCCESS, result=reference)


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (r'"a\ud800b"', "a\ufffdb"),
        (r'{"\udfff": 1}', {"\ufffd": 1}),
        (r'"\ud83d\ude00"', "\U0001f600"),
        ("NaN", None),
        ("[Infinity, -Infinity, 1e999]", [None, None, None]),
        (nested(600), json.loads(nested(600))),
        ('{"__type__": "x", "__value__": 1}', {"__type__": "x", "__value__": 1}),
        (f"{'9' * 400}", int("9" * 400)),
    ],
    ids=["surrogate", "surrogate name", "pair", "nan", "infinity", "600 deep", "kombu's", "digits"],
)
def test_any_result_is_shown(api: Api, worker: Worker, text: str, shown: Any) -> None:
    """A task and its result are JSON, whatever the task gave."""
    task_id = api.submit()
    keep(worker, task_id, text)
    assert api.get(f"/tasks/{task_id}").json()["result"] == shown
    assert api.get(f"/tasks/{task_id}/result").json() == {"result": shown}
    assert api.get("/tasks").status_code == 200


def test_a_result_too_deep_for_python_is_given_as_it_is(api: Api, worker: Worker) -> None:
    """The result's own URL has it; the task shows null."""
    task_id = api.submit()
    keep(worker, task_id, nested(5_000))
    assert api.get(f"/tasks/{task_id}").json()["result"] is None
    answer = api.get(f"/tasks/{task_id}/result")
    assert (answer.status_code, answer.text) == (200, f'{{"result": {nested(5_000)}}}')


@pytest.mark.parametrize(
    ("meta", "progress"),
    [
        ({"current": 1, "total": 2}, {"current": 1, "total": 2, "percent": 50.0, "message": ""}),
        (
            {"current": 1.5, "total": 3.0, "status": "Half"},
            {"current": 1, "total": 3, "percent": 33.3, "message": "Half"},
        ),
        (
            {"current": 10**400, "total": 10**401},
            {"current": 10**400, "total": 10**401, "percent": 10.0, "message": ""},
        ),
        ({"current": -1, "total": 0}, {"current": -1, "total": 0, "percent": 0.0, "message": ""}),
        ({"current": "1", "total": "2"}, None),
        ({"current": 1}, None),
        ({"current": float("inf"), "total": float("nan")}, None),
        ("halfway", None),
        ([1, 2], None),
    ],
)
def test_progress_of_plain_celery_code_is_shown(
    api: Api, worker: Worker, meta: Any, progress: Any
) -> None:
    """``update_state(meta={"current": …, "total": …})`` is progress; other meta does no harm."""
    task_id = api.submit()
    worker.claim(task_id)
    services().records.report(task_id, "me", "PROGRESS", meta=json.dumps(meta))
    assert api.get(f"/tasks/{task_id}").json()["progress"] == progress
    [listed] = api.get("/tasks").json()["data"]
    assert listed["progress"] == progress


def plain_task(tenant: str, call: Call) -> TaskRecord:
    """A plain Celery task that has ended."""
    app = make_app(services().settings, CATALOGUE)
    record = app.new_record(
        "shop.resize", identifiers.new_task_id(), tenant, call, queue="default", tags=("t",)
    )
    services().records.create(record)
    services().records.claim(record.task_id, 1, "me", clock.now() + 60_000)
    return services().records.finish(record.task_id, "me", states.FAILURE)


def test_a_plain_task_is_retried(api: Api) -> None:
    """The retry that its links offer calls it again with its arguments, outside of its canvas."""
    moment = datetime(2025, 1, 1, tzinfo=UTC)
    call = Call([7, KOMBUS], {"due": moment}, {"group_id": "g", "link": []})
    old = plain_task(api.tenant, call)
    answer = api.post(api.get(f"/tasks/{old.task_id}").json()["links"]["retry"])
    assert answer.status_code == 202, answer.text
    again = services().records.get(answer.json()["task_id"])
    assert again is not None
    assert (again.type, again.retry_of, again.tags) == ("shop.resize", old.task_id, ("t",))
    kept = Call.from_text(services().values.get(api.tenant, again.task_id, again.input))
    assert kept.kwargs == {"due": moment}
    assert kept.options == {"link": []}


def test_a_plain_tasks_retry_is_held_to_the_tenants_quotas(api: Api) -> None:
    """One more than its unfinished tasks may be is a 429. A repetition is the same task."""
    few = services().settings.model_copy(update={"waiting_per_tenant": 1})
    caller = api.on(create_app(few, CATALOGUE))
    path = f"/tasks/{plain_task(api.tenant, Call([1])).task_id}/retry"
    key = {"Idempotency-Key": "again"}
    first, second = (caller.post(path, headers=key) for _ in range(2))
    assert first.json()["task_id"] == second.json()["task_id"]
    document = problem(caller.post(path), 429, "quota-exceeded")
    assert (document["quota"], document["limit"]) == ("waiting_per_tenant", 1)
    services().records.cancel(first.json()["task_id"])


def test_a_plain_tasks_retry_may_be_repeated_under_a_key(api: Api) -> None:
    """One key is one task; the key of another retry is refused."""
    path = f"/tasks/{plain_task(api.tenant, Call([1])).task_id}/retry"
    other = f"/tasks/{plain_task(api.tenant, Call([2])).task_id}/retry"
    key = {"Idempotency-Key": "again"}
    first, second = (api.post(path, headers=key) for _ in range(2))
    assert first.json()["task_id"] == second.json()["task_id"]
    problem(api.post(other, headers=key), 422, "idempotency-conflict")


@pytest.mark.parametrize(
    "value",
    [
        {"__type__": "x", "__value__": 1},
        KOMBUS,
        [{"a": {"__type__": "decimal", "__value__": "1"}}],
        {"__type__": "celeriac-json", "__value__": "1"},
        {"__type__": {}, "__value__": []},
    ],
)
def test_an_object_that_kombu_would_read_stays_an_object(
    api: Api, worker: Worker, value: Any
) -> None:
    """From the request through message, record and retry, a payload is plain JSON."""
    first = api.post("/tasks/keep", json={"value": value}).json()["task_id"]
    worker.fail(first, "no", "no")
    second = api.post(f"/tasks/{first}/retry").json()["task_id"]
    for task_id in (first, second):
        record = services().records.get(task_id)
        assert record is not None
        text = services().values.get(api.tenant, task_id, record.input)
        # As the API reads it, as a worker does, and as it is after a worker has sent it on.
        for call in (Call.as_json(text), Call.from_text(text)):
            assert call.payload == {"value": value}
            assert Call.from_text(call.to_text()).payload == {"value": value}
    [message] = messages_of(second)
    assert message.call is not None
    assert message.call.payload == {"value": value}


def messages_of(task_id: str) -> list[Message]:
    url = services().settings.queue_url(DEFAULT)
    found = []
    while (
        received := services()
        .sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=0)
        .get("Messages")
    ):
        found += [Message.from_text(each["Body"]) for each in received]
    return [each for each in found if each.task_id == task_id]
