"""DELETE /tasks/{task_id} and POST /tasks/{task_id}/retry."""

from __future__ import annotations

from typing import Any

from celeriac.operations.lookup import payload_of
from celeriac.storage.services import services
from tests.integration.api.conftest import Api, Worker, problem


def payload(task_id: str) -> dict[str, Any]:
    record = services().records.get(task_id)
    assert record is not None
    found: dict[str, Any] = payload_of(record)
    return found


def test_a_waiting_task_ends_at_once(api: Api) -> None:
    """Without any worker alive, a waiting task is REVOKED by the answer."""
    task_id = api.submit()
    answer = api.delete(f"/tasks/{task_id}")
    assert answer.status_code == 200
    assert answer.json()["status"] == "REVOKED"
    assert api.get(f"/tasks/{task_id}").json()["status"] == "REVOKED"


def test_a_running_task_is_asked_to_stop(api: Api, worker: Worker) -> None:
    """202: its worker will end it. Asking again changes nothing."""
    task_id = api.submit()
    worker.claim(task_id)
    for _ in range(2):
        answer = api.delete(f"/tasks/{task_id}")
        assert answer.status_code == 202
        task = answer.json()
        assert (task["status"], task["cancelling"]) == ("STARTED", True)
        assert task["message"] == "Stopping."


def test_what_is_over_can_not_be_cancelled(api: Api, worker: Worker) -> None:
    """409 says how it ended."""
    task_id = api.submit()
    worker.succeed(task_id, {"text": "x"})
    document = problem(api.delete(f"/tasks/{task_id}"), 409, "task-over")
    assert document["task_status"] == "SUCCESS"


def test_a_retry_is_a_new_task_with_the_same_payload(api: Api, worker: Worker) -> None:
    """The new task says what it repeats, and keeps type and tags."""
    task_id = api.post("/tasks/greet?tag=t", json={"name": "Ada", "from": "Eve"}).json()["task_id"]
    worker.fail(task_id, "e", "It broke.")
    answer = api.post(f"/tasks/{task_id}/retry")
    again = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/tasks/{again['task_id']}"
    assert again["task_id"] != task_id
    assert (again["retry_of"], again["type"], again["tags"]) == (task_id, "greet", ["t"])
    assert payload(again["task_id"]) == payload(task_id)
    assert payload(again["task_id"])["sender"] == "Eve"


def test_a_retry_may_edit_the_payload(api: Api) -> None:
    """An edited payload is validated like a new one."""
    task_id = api.submit()
    api.delete(f"/tasks/{task_id}")
    wrong = api.post(f"/tasks/{task_id}/retry", json={"name": "B", "times": 9})
    document = problem(wrong, 422, "invalid")
    assert [each["pointer"] for each in document["errors"]] == ["#/times"]
    again = api.post(f"/tasks/{task_id}/retry", json={"name": "B"}).json()
    assert payload(again["task_id"])["name"] == "B"
    assert payload(again["task_id"])["times"] == 1


def test_only_what_has_ended_can_be_tried_again(api: Api) -> None:
    """A task under way is not doubled."""
    task_id = api.submit()
    problem(api.post(f"/tasks/{task_id}/retry"), 409, "task-not-over")
    problem(api.post(f"/tasks/{task_id}/retry", json=[1]), 422, "invalid")


def test_a_retry_may_be_repeated_under_a_key(api: Api) -> None:
    """An idempotency key makes a repeated retry one task."""
    task_id = api.submit()
    api.delete(f"/tasks/{task_id}")
    key = {"Idempotency-Key": "again"}
    first, second = (api.post(f"/tasks/{task_id}/retry", headers=key) for _ in range(2))
    assert first.json()["task_id"] == second.json()["task_id"]
    assert second.headers["idempotent-replayed"] == "true"
