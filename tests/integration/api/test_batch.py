"""POST /tasks/{type}/batch: many submissions, an answer for each."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import EndpointConnectionError

from celeriac import states
from celeriac.storage.services import services
from tests.integration.api.conftest import Api, problem


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """The calls of SQS, by operation."""
    counted: Counter[str] = Counter()
    make = BaseClient._make_api_call  # type: ignore[attr-defined]

    def count(self: Any, operation: str, parameters: Any) -> Any:
        if self.meta.service_model.service_name == "sqs":
            counted[operation] += 1
        return make(self, operation, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", count)
    return counted


def batch(api: Api, *items: dict[str, Any]) -> list[dict[str, Any]]:
    answer = api.post("/tasks/greet/batch", json={"items": list(items)})
    assert answer.status_code == 200, answer.text
    data: list[dict[str, Any]] = answer.json()["data"]
    return data


def test_each_item_becomes_a_task_and_ten_messages_go_to_a_call(
    api: Api, calls: Counter[str]
) -> None:
    """The answers are in the order of the items, and each task can be followed."""
    answers = batch(api, *({"payload": {"name": f"n{n}"}, "tags": [f"t{n}"]} for n in range(25)))

    assert [each["status"] for each in answers] == [202] * 25
    assert [each["task"]["tags"] for each in answers] == [[f"t{n}"] for n in range(25)]
    assert calls == {"SendMessageBatch": 3}
    found = api.get(answers[7]["task"]["links"]["self"]).json()
    assert (found["status"], found["type"]) == (states.PENDING, "greet")


def test_a_wrong_item_refuses_no_other(api: Api) -> None:
    """Its answer is the problem that a single submission would have."""
    alone = api.post("/tasks/greet", json={"name": "", "times": 9})

    first, second, third = batch(
        api,
        {"payload": {"name": "Ada"}},
        {"payload": {"name": "", "times": 9}},
        {"payload": {"name": "Bob"}},
    )

    assert (first["status"], third["status"]) == (202, 202)
    assert second == {"status": 422, "problem": alone.json()}


def test_keys_are_those_of_single_submissions(api: Api) -> None:
    """Repeated alone, in another batch or within one: the same task; another payload conflicts."""
    single = api.submit("Ada", headers={"Idempotency-Key": "k1"})

    first, again, other, twin, conflict = batch(
        api,
        {"payload": {"name": "Ada"}, "idempotency_key": "k1"},
        {"payload": {"name": "Bob"}, "idempotency_key": "k1"},
        {"payload": {"name": "Eve"}, "idempotency_key": "k2"},
        {"payload": {"name": "Eve"}, "idempotency_key": "k2"},
        {"payload": {"name": "Eve"}, "idempotency_key": "k1"},
    )

    assert (first["task"]["task_id"], first["replayed"]) == (single, True)
    assert {each["problem"]["type"] for each in (again, conflict)} == {
        "/problems/idempotency-conflict"
    }
    assert other["task"]["task_id"] == twin["task"]["task_id"]
    assert {other["replayed"], twin["replayed"]} == {True, False}


def test_a_message_that_sqs_refuses_costs_only_its_own_item(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its record is gone again, and the answer says to try again."""
    refused: list[Any] = []

    def refuse(self: Any, operation: str, parameters: Any) -> Any:
        if operation != "SendMessageBatch":
            return make(self, operation, parameters)
        ours = [each for each in parameters["Entries"] if "unwanted" in each["MessageBody"]]
        refused.extend(json.loads(each["MessageBody"])["headers"]["id"] for each in ours)
        taken = [each for each in parameters["Entries"] if each not in ours]
        answer = make(self, operation, {**parameters, "Entries": taken}) if taken else {}
        failed = [{"Id": each["Id"], "SenderFault": False, "Code": "Busy"} for each in ours]
        return {**answer, "Failed": failed}

    make = BaseClient._make_api_call  # type: ignore[attr-defined]
    monkeypatch.setattr(BaseClient, "_make_api_call", refuse)

    first, second = batch(api, {"payload": {"name": "Ada"}}, {"payload": {"name": "unwanted"}})

    assert (first["status"], second["status"]) == (202, 503)
    assert second["problem"]["type"] == "/problems/unavailable"
    assert services().records.get(refused[0]) is None
    assert services().records.get(first["task"]["task_id"]) is not None


def test_a_batch_of_which_nothing_can_be_taken_is_unavailable(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With SQS down the whole is a 503, and nothing is left of it."""
    make = BaseClient._make_api_call  # type: ignore[attr-defined]

    def refuse(self: Any, operation: str, parameters: Any) -> Any:
        if self.meta.service_model.service_name == "sqs":
            raise EndpointConnectionError(endpoint_url="https://sqs.us-east-1.amazonaws.com")
        return make(self, operation, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", refuse)

    items = [{"payload": {"name": "Ada"}}, {"payload": {"name": "Bob"}}]
    answer = api.post("/tasks/greet/batch", json={"items": items})

    problem(answer, 503, "unavailable")
    assert api.get("/tasks").json()["data"] == []


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"items": []}, "#/items"),
        ({"items": [{"payload": {"name": "n"}}] * 101}, "#/items"),
        ({"items": [{"tags": ["a"]}]}, "#/items/0/payload"),
        ({"items": [{"payload": {"name": "n"}, "delay": 31_622_401}]}, "#/items/0/delay"),
        ({"items": [{"payload": {"name": "n"}, "tag": ["a"]}]}, "#/items/0/tag"),
        ({}, "#/items"),
    ],
)
def test_what_is_no_batch_is_refused_as_a_whole(
    api: Api, body: dict[str, Any], pointer: str
) -> None:
    """None, too many, or a misspelt option: nothing is accepted."""
    answer = api.post("/tasks/greet/batch", json=body)

    found = problem(answer, 422, "invalid")
    assert found["errors"][0]["pointer"] == pointer
    assert api.get("/tasks").json()["data"] == []


def test_a_batch_of_an_unknown_type_names_those_that_are_near(api: Api) -> None:
    """As a single submission does."""
    answer = api.post("/tasks/great/batch", json={"items": [{"payload": {}}]})

    assert problem(answer, 404, "unknown-task-type")["near"] == ["greet"]


def test_a_delayed_item_is_due_later(api: Api) -> None:
    """Each item has a delay of its own."""
    now, later = batch(
        api, {"payload": {"name": "Ada"}}, {"payload": {"name": "Bob"}, "delay": 600}
    )

    assert now["task"]["due_at"] is None
    assert later["task"]["due_at"] is not None
