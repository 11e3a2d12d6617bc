"""GET /tasks/{task_id} and its result."""

from __future__ import annotations

import threading
import time

import httpx
import pytest
import requests

from celeriac.storage.services import services
from tests.integration.api.conftest import Api, Worker, problem

MADE = {
    "artifacts": [
        {
            "name": "a.png",
            "key": "tasks/1/1/a.png",
            "content_type": "image/png",
            "size": 3,
            "url": None,
        }
    ]
}


def test_a_task_is_followed_from_start_to_result(api: Api, worker: Worker) -> None:
    """Status, progress and result appear as the worker writes them."""
    task_id = api.submit()
    worker.claim(task_id)
    started = api.get(f"/tasks/{task_id}").json()
    assert (started["status"], started["message"]) == ("STARTED", "Running.")
    assert started["started_at"] >= started["created_at"]

    worker.report(task_id, 1, 4, "Item 1")
    task = api.get(f"/tasks/{task_id}").json()
    assert (task["status"], task["message"]) == ("PROGRESS", "Item 1")
    assert task["progress"] == {"current": 1, "total": 4, "percent": 25.0, "message": "Item 1"}

    worker.finish(task_id, {"text": "Hello Ada!"})
    task = api.get(f"/tasks/{task_id}").json()
    assert (task["status"], task["result"]) == ("SUCCESS", {"text": "Hello Ada!"})
    assert task["finished_at"] >= task["started_at"]
    answer = api.get(task["links"]["result"])
    assert (answer.status_code, answer.json()) == (200, {"result": {"text": "Hello Ada!"}})


def test_artifacts_of_a_result_have_links(api: Api, worker: Worker) -> None:
    """Each artifact carries the path where it can be fetched; the stored result doesn't."""
    task_id = api.submit()
    worker.succeed(task_id, MADE)
    for shown in (
        api.get(f"/tasks/{task_id}").json()["result"],
        api.get(f"/tasks/{task_id}/result").json()["result"],
    ):
        assert shown["artifacts"][0]["url"] == "/files/tasks/1/1/a.png"


def test_a_large_result_is_one_redirect_away(api: Api, worker: Worker) -> None:
    """From some tens of KiB the result is fetched from S3, as the same document."""
    task_id = api.submit()
    result = {"text": "ж" * 40_000}
    worker.succeed(task_id, result)

    assert api.get(f"/tasks/{task_id}").json()["result"] is None
    answer = api.get(f"/tasks/{task_id}/result")
    assert answer.status_code == 303
    assert requests.get(answer.headers["location"], timeout=60).json() == {"result": result}


@pytest.mark.parametrize("state", ["PENDING", "STARTED"])
def test_the_result_of_an_unfinished_task_is_a_409(api: Api, worker: Worker, state: str) -> None:
    """There is nothing to fetch yet, and the problem says how the task stands."""
    task_id = api.submit()
    if state == "STARTED":
        worker.claim(task_id)
    document = problem(api.get(f"/tasks/{task_id}/result"), 409, "task-not-over")
    assert document["task_status"] == state


def test_the_result_of_a_failed_task_is_its_failure(api: Api, worker: Worker) -> None:
    """A failure is a 409 that names type and message; the task itself shows it too."""
    task_id = api.submit()
    worker.fail(task_id, "bad-name", "The name is not a name.")
    document = problem(api.get(f"/tasks/{task_id}/result"), 409, "task-failed")
    failure = {"type": "bad-name", "message": "The name is not a name."}
    assert document["error"] == failure
    assert api.get(f"/tasks/{task_id}").json()["error"] == failure


def test_the_result_of_a_cancelled_task_is_a_409(api: Api) -> None:
    """A cancelled task has no result, which is another problem than a failure."""
    task_id = api.submit()
    api.delete(f"/tasks/{task_id}")
    problem(api.get(f"/tasks/{task_id}/result"), 409, "task-revoked")


def test_a_result_that_has_expired_is_gone(api: Api, worker: Worker) -> None:
    """A record that outlives its result answers 410, not 500."""
    task_id = api.submit()
    worker.succeed(task_id, {"text": "x" * 40_000})
    record = services().records.get(task_id)
    assert record is not None
    assert record.result is not None
    services().artifacts.delete(record.tenant, [record.result.removeprefix("s3:")])
    problem(api.get(f"/tasks/{task_id}/result"), 410, "expired")


@pytest.mark.parametrize(
    "task_id", ["nope", "a" * 5000, "%00", "%2e%2e", "%FF", "a%2Fb", "01890000 0000", "ключ"]
)
def test_what_is_no_id_is_a_404(api: Api, task_id: str) -> None:
    """Unknown ids, and what can't be an id, are the same to the caller: not found."""
    for method, path in (("GET", ""), ("GET", "/result"), ("DELETE", ""), ("POST", "/retry")):
        answer = api(method, f"/tasks/{task_id}{path}")
        assert answer.status_code == 404, answer.text
        assert answer.headers["content-type"] == "application/problem+json"


def test_another_tenants_task_is_a_404(api: Api) -> None:
    """A tenant can neither see nor touch what belongs to another."""
    other = Api.of(api.app)
    task_id = api.submit()
    problem(other.get(f"/tasks/{task_id}"), 404, "task-not-found")
    problem(other.get(f"/tasks/{task_id}/result"), 404, "task-not-found")
    problem(other.delete(f"/tasks/{task_id}"), 404, "task-not-found")
    problem(other.post(f"/tasks/{task_id}/retry"), 404, "task-not-found")
    assert other.get("/tasks").json()["data"] == []
    assert api.get(f"/tasks/{task_id}").json()["status"] == "PENDING"


def test_an_unchanged_task_is_a_304(api: Api, worker: Worker) -> None:
    """The ETag stays while the task does, and changes with it."""
    task_id = api.submit()
    etag = api.get(f"/tasks/{task_id}").headers["etag"]
    for known in (etag, f'"other", W/{etag}', "*"):
        answer = api.get(f"/tasks/{task_id}", headers={"If-None-Match": known})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == etag
    worker.claim(task_id)
    answer = api.get(f"/tasks/{task_id}", headers={"If-None-Match": etag})
    assert answer.status_code == 200
    assert answer.headers["etag"] != etag


class Waiting:
    """A long poll under way on another thread."""

    def __init__(self, api: Api, url: str, **options: dict[str, str]) -> None:
        self._answers: list[httpx.Response] = []
        self._thread = threading.Thread(
            target=lambda: self._answers.append(api.get(url, **options))
        )
        self._begun = time.monotonic()
        self._thread.start()

    def answer(self) -> tuple[httpx.Response, float]:
        """The answer, and after how many seconds it came."""
        self._thread.join(60)
        return self._answers[0], time.monotonic() - self._begun


def test_a_long_poll_ends_with_the_change(api: Api, worker: Worker) -> None:
    """With wait, the answer comes when the task changes, long before the time is up."""
    task_id = api.submit()
    waiting = Waiting(api, f"/tasks/{task_id}?wait=20")
    time.sleep(0.3)  # so that it waits already; it passes either way
    worker.claim(task_id)
    answer, seconds = waiting.answer()
    assert answer.json()["status"] == "STARTED"
    assert seconds < 20


def test_a_long_poll_goes_on_from_the_version_known(api: Api, worker: Worker) -> None:
    """What changed before the request came is not missed: the answer is immediate."""
    task_id = api.submit()
    etag = api.get(f"/tasks/{task_id}").headers["etag"]
    worker.claim(task_id)
    begun = time.monotonic()
    answer = api.get(f"/tasks/{task_id}?wait=20", headers={"If-None-Match": etag})
    assert answer.json()["status"] == "STARTED"
    assert time.monotonic() - begun < 20


def test_a_long_poll_without_a_change_ends_in_time(api: Api) -> None:
    """When the time is up the task comes as it is: 304 to who knows it, 200 to who doesn't."""
    task_id = api.submit()
    begun = time.monotonic()
    answer = api.get(f"/tasks/{task_id}", headers={"Prefer": "respond-async, wait=1"})
    assert (answer.status_code, answer.headers["preference-applied"]) == (200, "wait=1")
    assert 1 <= time.monotonic() - begun < 20
    etag = answer.headers["etag"]
    answer = api.get(f"/tasks/{task_id}?wait=1", headers={"If-None-Match": etag})
    assert answer.status_code == 304


def test_nobody_waits_for_a_task_that_has_ended(api: Api) -> None:
    """An ended task never changes again, so a long poll answers at once."""
    task_id = api.submit()
    etag = api.delete(f"/tasks/{task_id}").headers.get("etag", '"2"')
    begun = time.monotonic()
    answer = api.get(f"/tasks/{task_id}?wait=25", headers={"If-None-Match": etag})
    assert answer.status_code == 304
    assert api.get(f"/tasks/{task_id}?wait=25").json()["status"] == "REVOKED"
    assert time.monotonic() - begun < 25


def test_waiting_callers_do_not_hold_up_others(api: Api) -> None:
    """Many long polls wait side by side without a thread each."""
    task_id = api.submit()
    begun = time.monotonic()
    waiting = [Waiting(api, f"/tasks/{task_id}?wait=2") for _ in range(20)]
    assert api.get("/health").status_code == 200
    assert {each.answer()[0].status_code for each in waiting} == {200}
    assert time.monotonic() - begun < 20 * 2


def test_a_long_poll_asks_for_sensible_times(api: Api) -> None:
    """A negative or absurd wait is refused; a merely long one is cut to the server's longest."""
    task_id = api.submit()
    for wait in ("-1", "x", "9" * 5000):
        document = problem(api.get(f"/tasks/{task_id}?wait={wait}"), 422, "invalid")
        assert document["errors"][0]["parameter"] == "wait"
    api.delete(f"/tasks/{task_id}")
    assert api.get(f"/tasks/{task_id}?wait=3600").status_code == 200
