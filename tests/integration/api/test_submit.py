"""POST /tasks/{type}: from a request to a record and a message."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from celeriac import states
from celeriac.contract import Queue
from celeriac.operations.lookup import payload_of
from celeriac.settings import settings
from celeriac.storage.services import services
from tasks.queues import DEFAULT, EMAIL
from tests.integration.api.conftest import Api, chunks, problem


def message_of(task_id: str, queue: Queue) -> Any:
    """The task's message, if it is in the queue and not kept back."""
    url = settings().queue_url(queue)
    while True:
        found = services().sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=0
        )
        if not found.get("Messages"):
            return None
        for each in found["Messages"]:
            message = json.loads(each["Body"])
            if message["headers"]["id"] == task_id:
                return message


def delayed(queue: Queue) -> int:
    """How many messages SQS keeps back."""
    answer = services().sqs.get_queue_attributes(
        QueueUrl=settings().queue_url(queue),
        AttributeNames=["ApproximateNumberOfMessagesDelayed"],
    )
    return int(answer["Attributes"]["ApproximateNumberOfMessagesDelayed"])


def test_a_submitted_task_has_a_record_and_a_message(api: Api) -> None:
    """202 says where the task is; its record holds the payload, and one message carries it."""
    answer = api.post("/tasks/greet?tag=a&tag=b&tag=a", json={"name": "Ada"})

    assert answer.status_code == 202
    task = answer.json()
    assert answer.headers["location"] == f"/tasks/{task['task_id']}"
    assert answer.headers["retry-after"] == "1"
    assert "idempotent-replayed" not in answer.headers
    assert (task["status"], task["message"]) == ("PENDING", "Waiting for a worker.")
    assert (task["result"], task["progress"], task["error"]) == (None, None, None)
    assert (task["type"], task["queue"], task["attempt"]) == ("greet", "email", 1)
    assert task["tags"] == ["a", "b"]
    record = services().records.get(task["task_id"])
    assert record is not None
    assert record.tenant == api.tenant
    payload = payload_of(record)
    assert (payload["name"], payload["times"], payload["friends"]) == ("Ada", 1, [])
    assert message_of(task["task_id"], EMAIL)["headers"]["task"] == "greet"


def test_an_alias_submits_its_type(api: Api) -> None:
    """A name that a task type had before still works, and leads to the type's own name."""
    assert api.post("/tasks/hello", json={"name": "Ada"}).json()["type"] == "greet"
    assert "/tasks/hello" not in api.get("/openapi.json").json()["paths"]


def test_a_payload_without_required_fields_may_be_left_out(api: Api) -> None:
    """An empty body is the payload of defaults where there is one."""
    answer = api.post("/tasks/keep")
    assert answer.status_code == 202
    problem(api.post("/tasks/greet"), 422, "invalid")


def test_a_delayed_task_waits_in_sqs(api: Api) -> None:
    """With delay=30 the message is kept back, and the answer says when to look."""
    before = delayed(EMAIL)
    answer = api.post("/tasks/greet?delay=30", json={"name": "Ada"})
    assert 28 <= int(answer.headers["retry-after"]) <= 30
    assert answer.json()["due_at"] is not None
    assert delayed(EMAIL) == before + 1
    assert message_of(answer.json()["task_id"], EMAIL) is None


def test_an_unknown_type_names_those_like_it(api: Api) -> None:
    """A misspelt type is a 404 that suggests the right one."""
    document = problem(api.post("/tasks/great", json={}), 404, "unknown-task-type")
    assert document["near"] == ["greet"]
    assert "greet" in document["detail"]


@pytest.mark.parametrize(
    ("payload", "pointers"),
    [
        ({}, ["#/name"]),
        ({"name": ""}, ["#/name"]),
        ({"name": 7, "times": 9}, ["#/name", "#/times"]),
        ({"name": "A", "friends": [{"name": "B"}, {"name": ""}]}, ["#/friends/1/name"]),
        ({"name": "A", "friends": [{"times": 1}]}, ["#/friends/0/name"]),
        ([], ["#"]),
        ("text", ["#"]),
        (None, ["#"]),
    ],
)
def test_each_wrong_value_is_pointed_at(api: Api, payload: object, pointers: list[str]) -> None:
    """A wrong payload is a 422 with a JSON pointer to every wrong value; nothing is accepted."""
    document = problem(
        api.post(
            "/tasks/greet",
            content=json.dumps(payload),
            headers={"Content-Type": "application/json"},
        ),
        422,
        "invalid",
    )
    assert [each["pointer"] for each in document["errors"]] == pointers
    assert all(each["detail"] for each in document["errors"])
    assert api.get("/tasks").json()["data"] == []


def test_many_wrong_values_are_a_short_answer(api: Api) -> None:
    """The answer names the first errors and counts the rest."""
    body = {"name": "A", "friends": [{}] * 1_000}
    answer = api.post("/tasks/greet", json=body)
    document = problem(answer, 422, "invalid")
    assert len(document["errors"]) == 50
    assert "1000 values are wrong" in document["detail"]
    assert len(answer.content) < 20_000


def test_a_million_wrong_values_are_one_error(api: Api) -> None:
    """Of a huge payload, each list shows its first error only."""
    body = {"name": "A", "friends": [{}] * 100_000}
    document = problem(api.post("/tasks/greet", json=body), 422, "invalid")
    assert [each["pointer"] for each in document["errors"]] == ["#/friends/0/name"]


@pytest.mark.parametrize(
    ("payload", "pointer", "near"),
    [
        ({"name": "A", "tims": 2}, "#/tims", ["times"]),
        ({"name": "A", "friends": [{"name": "B", "nmae": "C"}]}, "#/friends/0/nmae", ["name"]),
        ({"name": "A", "form": "B"}, "#/form", ["from"]),
        ({"name": "A", "zzz/~": 1}, "#/zzz~1~0", []),
        ({"name": "A", "data": {"name": "B"}}, "#/data", []),
    ],
)
def test_an_unknown_field_is_refused(
    api: Api, payload: object, pointer: str, near: list[str]
) -> None:
    """A field that the type doesn't have is a 422 that names it and those it may have meant."""
    document = problem(api.post("/tasks/greet", json=payload), 422, "invalid")
    [error] = document["errors"]
    assert (error["pointer"], error["near"]) == (pointer, near)
    assert error["detail"].startswith("There is no such field")
    batch = {"items": [{"payload": payload}]}
    [item] = api.post("/tasks/greet/batch", json=batch).json()["data"]
    assert item["problem"]["errors"] == document["errors"]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("delay=31622401", "delay"),
        ("delay=P367D", "delay"),
        ("delay=-1", "delay"),
        ("delay=-PT1S", "delay"),
        ("delay=x", "delay"),
        ("delay=1.5", "delay"),
        ("delay=60.0000004", "delay"),
        ("delay=PT1.5H", "delay"),
        ("delay=PT1H1H", "delay"),
        ("delay=pt1h", "delay"),
        ("delay=%20PT1H", "delay"),
        ("delay=PT1H%0A", "delay"),
        ("delay=PT%D9%A1H", "delay"),
        ("delay=%D9%A6%D9%A0", "delay"),
        ("delay=true", "delay"),
        ("delay=1e2", "delay"),
        ("delay=P1M", "delay"),
        ("delay=P", "delay"),
        ("delay=PT", "delay"),
        ("delay=", "delay"),
        ("run_at=tomorrow", "run_at"),
        ("run_at=1798696800", "run_at"),
        ("run_at={:%Y-%m-%d}", "run_at"),
        ("run_at={:%Y-%m-%dT%H}Z", "run_at"),
        ("run_at={:%Y-%m-%dT%H:%M:%S}", "run_at"),
        ("run_at={:%Y-%m-%dT%H:%M:%S}+03:00", "run_at"),
        ("run_at=%20{:%Y-%m-%dT%H:%M:%S}Z", "run_at"),
        ("run_at={:%Y}-02-31T06:00:00Z", "run_at"),
        ("run_at=2020-01-31T06:00:00Z", "run_at"),
        ("run_at=9999-12-31T23:59:59Z", "run_at"),
        ("run_at=0001-01-01T00:00:00%2B23:59", "run_at"),
        ("delay=60&run_at=2099-01-31T06:00:00Z", "run_at"),
        ("delay=" + "9" * 5000, "delay"),
        ("tag=", "tag"),
        ("tag=a%00b", "tag"),
        ("tag=a%0a", "tag"),
        ("&".join(f"tag={number}" for number in range(9)), "tag"),
        ("tags=a", "tags"),
    ],
)
def test_wrong_options_are_named(api: Api, query: str, parameter: str) -> None:
    """A wrong or unknown query parameter is a 422 that names it."""
    # A time to come, so that it is wrong for one reason only.
    query = query.format(datetime.now(UTC) + timedelta(days=30))
    document = problem(api.post(f"/tasks/greet?{query}", json={"name": "A"}), 422, "invalid")
    assert {each["parameter"] for each in document["errors"]} == {parameter}


@pytest.mark.parametrize("key", ["", "x" * 256, "with space", "ключ"])
def test_a_wrong_idempotency_key_is_named(api: Api, key: str) -> None:
    """Empty, endless and unprintable keys are refused."""
    headers = {"Idempotency-Key": key.encode()}
    answer = api.post("/tasks/greet", json={"name": "A"}, headers=headers)
    document = problem(answer, 422, "invalid")
    assert [each["header"] for each in document["errors"]] == ["Idempotency-Key"]


@pytest.mark.parametrize(
    "body", [b"{", b"\xff\xfe", b'{"name": NaN}', b"[" * 100_000, b'{"name": "\\ud800"}']
)
def test_what_is_not_json_is_a_400(api: Api, body: bytes) -> None:
    """A body that can't be read as JSON says so, and where."""
    answer = api.post("/tasks/greet", content=body, headers={"Content-Type": "application/json"})
    assert "errors" not in problem(answer, 400, "malformed-json")


def test_another_media_type_is_a_415(api: Api) -> None:
    """A form, as curl sends unless told otherwise, is answered with the header to add."""
    document = problem(api.post("/tasks/greet", data={"name": "A"}), 415, "unsupported-media-type")
    assert "Content-Type: application/json" in document["detail"]


def test_json_need_not_be_announced(api: Api) -> None:
    """A JSON body without Content-Type is taken for what it is."""
    assert api.post("/tasks/greet", content=b'{"name": "A"}').status_code == 202


def test_a_body_over_the_limit_is_a_413_however_it_comes(api: Api) -> None:
    """Announced or in chunks, a body over max_request_bytes is refused."""
    piece = b"x" * 2**20
    problem(api.post("/tasks/keep", content=piece * 5), 413, "too-large")
    problem(api.post("/tasks/keep", content=chunks(*[piece] * 5)), 413, "too-large")


def test_a_large_payload_travels_by_reference(api: Api) -> None:
    """A payload that no SQS message should carry is accepted, and kept whole."""
    value = "ж" * 300_000
    task_id = api.post("/tasks/keep", json={"value": value}).json()["task_id"]
    record = services().records.get(task_id)
    assert record is not None
    assert payload_of(record) == {"value": value}
    assert len(json.dumps(message_of(task_id, DEFAULT))) < 10_000


def test_odd_but_valid_json_is_kept_as_it_is(api: Api) -> None:
    """NUL characters, big numbers and deep nesting come through."""
    value: Any = ["\x00", 10**500, -0.0, 5e-324, {"": {"~/": "é"}}]
    for _ in range(80):
        value = [value]
    task_id = api.post("/tasks/keep", json={"value": value}).json()["task_id"]
    record = services().records.get(task_id)
    assert record is not None
    assert payload_of(record) == {"value": value}
    assert record.state == states.PENDING
