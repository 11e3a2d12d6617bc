"""Quotas of a tenant: its requests, its unfinished tasks and its mails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from celeriac import QuotaExceededError, submit, submit_many
from celeriac.app.factory import make_app
from celeriac.contract import BaseModel, Catalogue, TaskContext, Unique, task
from celeriac.http.app import create_app
from celeriac.operations.submit_many import Item
from celeriac.settings import Settings
from celeriac.storage.services import services
from celeriac.storage.waiting import INTERVAL
from tasks.queues import DEFAULT
from tests.integration.api.conftest import Api, Worker, problem
from tests.integration.api.throwaway import CATALOGUE
from tests.unit.engine.meter import metered

LIMIT = 3


class Letter(BaseModel):
    """A mail."""

    to: str = "ada@example.com"


@task(queue=DEFAULT, sends_mail=True)
def post(payload: Letter, context: TaskContext) -> Letter:
    """Send a letter."""
    return payload


@task(queue=DEFAULT, unique_for=Unique(), sends_mail=True)
def invite(payload: Letter, context: TaskContext) -> Letter:
    """Send one invitation."""
    return payload


@task(queue=DEFAULT, operators_only=True, sends_mail=True)
def tidy(payload: Letter, context: TaskContext) -> Letter:
    """Tidy up."""
    return payload


TYPES = Catalogue([*CATALOGUE.values(), post, invite, tidy], CATALOGUE.queues)

Make = Callable[..., Api]


class Timer:
    """A time that the test moves: the beginning of a day, UTC."""

    def __init__(self) -> None:
        self.now = 20_000 * 24 * 60 * 60 * 1000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def timer(aws: Settings, monkeypatch: pytest.MonkeyPatch) -> Timer:
    timer = Timer()
    monkeypatch.setattr(services().requests, "_now", timer)
    monkeypatch.setattr(services().waiting, "_now", timer)
    return timer


@pytest.fixture
def limited(aws: Settings, timer: Timer) -> Make:
    """A caller of an API with these quotas, as a new tenant."""

    def make(**quotas: int) -> Api:
        return Api.of(create_app(aws.model_copy(update=quotas), TYPES))

    return make


def refused(document: dict[str, Any], quota: str) -> None:
    """A problem says which quota it is, and its value."""
    assert (document["quota"], document["limit"]) == (quota, LIMIT)
    assert f"{LIMIT:,}" in document["detail"]


# -- requests


def test_all_keys_of_a_tenant_share_its_requests(limited: Make, timer: Timer) -> None:
    """429 with the rest of the minute; another tenant isn't affected."""
    ours = limited(requests_per_tenant=LIMIT)
    second = Api.of(ours.app, ours.tenant)
    assert [each.get("/tasks").status_code for each in (ours, second, ours)] == [200] * 3

    answer = second.get("/tasks")
    refused(problem(answer, 429, "too-many-requests"), "requests_per_tenant")
    assert answer.headers["retry-after"] == "60"
    assert Api.of(ours.app).get("/tasks").status_code == 200
    timer.now += 60_000
    assert second.get("/tasks").status_code == 200


def test_a_key_over_its_own_limit_uses_up_none_of_its_tenants(limited: Make) -> None:
    """A key in a loop is refused alone."""
    looping = limited(requests_per_key=1, requests_per_tenant=2)
    answers = [looping.get("/tasks") for _ in range(5)]
    assert [each.status_code for each in answers] == [200, 429, 429, 429, 429]
    assert answers[-1].json()["quota"] == "requests_per_key"

    assert Api.of(looping.app, looping.tenant).get("/tasks").status_code == 200


# -- unfinished tasks


def test_a_tenant_with_as_many_tasks_as_it_may_have_is_told_so(limited: Make) -> None:
    """429 with the quota, its value and when to come back; nothing is accepted."""
    ours = limited(waiting_per_tenant=LIMIT)
    for _ in range(LIMIT):
        ours.submit()

    answer = ours.post("/tasks/greet", json={"name": "Ada"})
    refused(problem(answer, 429, "quota-exceeded"), "waiting_per_tenant")
    assert answer.headers["retry-after"] == "5"
    assert len(ours.get("/tasks").json()["data"]) == LIMIT


@pytest.mark.parametrize("how", ["end", "cancel"])
def test_a_task_that_is_over_makes_room(
    limited: Make, timer: Timer, worker: Worker, how: str
) -> None:
    """After the time that Retry-After said, for one task and no more. A running one counts."""
    ours = limited(waiting_per_tenant=LIMIT)
    task_ids = [ours.submit() for _ in range(LIMIT)]
    worker.claim(task_ids[1])
    if how == "end":
        worker.succeed(task_ids[0], {"text": "Hello"})
    else:
        ours.delete(f"/tasks/{task_ids[0]}")
    timer.now += int(INTERVAL.total_seconds()) * 1000

    ours.submit()
    assert ours.post("/tasks/greet", json={"name": "Ada"}).status_code == 429


def test_a_delayed_task_counts(limited: Make) -> None:
    """It waits like the others. Otherwise delays would be a way round the quota."""
    ours = limited(waiting_per_tenant=LIMIT)
    for _ in range(LIMIT):
        assert ours.post("/tasks/greet?delay=900", json={"name": "Ada"}).status_code == 202

    problem(ours.post("/tasks/greet", json={"name": "Ada"}), 429, "quota-exceeded")


def test_another_tenant_has_a_quota_of_its_own(limited: Make) -> None:
    """However many tasks of others wait."""
    ours = limited(waiting_per_tenant=LIMIT)
    for _ in range(2 * LIMIT):
        ours.post("/tasks/greet", json={"name": "Ada"})

    Api.of(ours.app).submit()


def test_each_item_of_a_batch_is_accepted_or_refused_by_itself(limited: Make) -> None:
    """As many are accepted as there is room for."""
    ours = limited(waiting_per_tenant=LIMIT)
    items = {"items": [{"payload": {"name": str(each)}} for each in range(5)]}

    data = ours.post("/tasks/greet/batch", json=items).json()["data"]
    assert sorted(each["status"] for each in data) == [202] * 3 + [429] * 2
    for each in data:
        if each["status"] == 429:
            refused(each["problem"], "waiting_per_tenant")


def test_a_repeated_submission_counts_once(limited: Make) -> None:
    """Its first answer is given again, even when there is no room."""
    ours = limited(waiting_per_tenant=LIMIT)
    answers = [
        ours.post("/tasks/greet", json={"name": "Ada"}, headers={"Idempotency-Key": f"k{each}"})
        for each in (1, 1, 2, 2, 3, 3, 1)
    ]
    assert [each.status_code for each in answers] == [202] * 7


@pytest.mark.parametrize("quota", ["waiting_per_tenant", "mails_per_tenant"])
def test_a_submission_that_is_an_earlier_ones_task_counts_once(limited: Make, quota: str) -> None:
    """A unique type's task is the answer, even when there is no room for another one."""
    ours = limited(**{quota: 1})
    answers = [ours.post("/tasks/invite", json={"to": "ada"}) for _ in range(3)]
    assert [each.status_code for each in answers] == [202] * 3
    assert len({each.json()["task_id"] for each in answers}) == 1

    problem(ours.post("/tasks/invite", json={"to": "bob"}), 429, "quota-exceeded")


def test_a_unique_submission_is_accepted_once_there_is_room(limited: Make, timer: Timer) -> None:
    """That it was refused before keeps nobody from submitting it."""
    ours = limited(waiting_per_tenant=1)
    first = ours.post("/tasks/invite", json={"to": "ada"}).json()["task_id"]
    problem(ours.post("/tasks/invite", json={"to": "bob"}), 429, "quota-exceeded")
    ours.delete(f"/tasks/{first}")
    timer.now += int(INTERVAL.total_seconds()) * 1000

    task_id = ours.post("/tasks/invite", json={"to": "bob"}).json()["task_id"]
    assert ours.get(f"/tasks/{task_id}").json()["status"] == "PENDING"


def test_python_callers_get_an_error_of_its_own(aws: Settings, timer: Timer) -> None:
    """With the quota, its value, and how long to wait."""
    app = make_app(aws.model_copy(update={"waiting_per_tenant": 1}), TYPES)
    submit("greet", {"name": "Ada"}, tenant="python-callers", app=app)

    with pytest.raises(QuotaExceededError, match="1 unfinished tasks") as error:
        submit("greet", {"name": "Ada"}, tenant="python-callers", app=app)
    assert (error.value.quota, error.value.limit) == ("waiting_per_tenant", 1)
    assert error.value.retry_after == INTERVAL
    [answer] = submit_many("greet", [Item({"name": "Ada"})], tenant="python-callers", app=app)
    assert isinstance(answer, QuotaExceededError)
    app.close()


def test_what_operators_submit_is_never_refused(limited: Make) -> None:
    """A deployment is repaired however busy its tenants are."""
    ours = limited(waiting_per_tenant=1, mails_per_tenant=1)
    for _ in range(LIMIT):
        assert ours.post("/tasks/tidy", json={}).status_code == 202


# -- mails


def test_a_tenant_submits_as_many_mails_a_day_as_it_may(limited: Make, timer: Timer) -> None:
    """429 until midnight, UTC. Tasks of other types aren't mails."""
    ours = limited(mails_per_tenant=LIMIT)
    for _ in range(LIMIT):
        assert ours.post("/tasks/post", json={}).status_code == 202
        ours.submit()
    timer.now += 20 * 60 * 60 * 1000

    answer = ours.post("/tasks/post", json={})
    refused(problem(answer, 429, "quota-exceeded"), "mails_per_tenant")
    assert answer.headers["retry-after"] == str(4 * 60 * 60)
    ours.submit()
    assert Api.of(ours.app).post("/tasks/post", json={}).status_code == 202
    timer.now += 4 * 60 * 60 * 1000
    assert ours.post("/tasks/post", json={}).status_code == 202


def test_a_refused_submission_is_no_mail(limited: Make) -> None:
    """Its time has passed. Otherwise a mistake would cost a mail of the day."""
    ours = limited(mails_per_tenant=LIMIT)
    for _ in range(2 * LIMIT):
        answer = ours.post("/tasks/post?run_at=2020-01-01T00:00:00Z", json={})
        assert answer.status_code == 422
    assert ours.post("/tasks/post", json={}).status_code == 202


def test_the_send_email_type_sends_mail() -> None:
    """And no other of this repository's."""
    from celeriac.contract import catalogue

    assert [each.name for each in catalogue().values() if each.sends_mail] == ["send-email"]


# -- costs


def test_a_quota_costs_one_write_a_submission_and_none_when_off(limited: Make) -> None:
    """A request, a place among the waiting tasks, and a mail: one write each."""

    def bill_of(**quotas: int) -> dict[str, int]:
        ours = limited(**quotas)
        ours.post("/tasks/post", json={})
        with metered() as bill:
            assert ours.post("/tasks/post", json={}).status_code == 202
            return dict(bill.requests)

    free = bill_of()
    for quota in ("requests_per_tenant", "waiting_per_tenant", "mails_per_tenant"):
        assert bill_of(**{quota: 100}) == free | {
            "dynamodb:UpdateItem": free.get("dynamodb:UpdateItem", 0) + 1
        }


@pytest.mark.parametrize("quota", ["waiting_per_tenant", "mails_per_tenant"])
def test_while_dynamodb_cannot_count_nothing_is_accepted(
    limited: Make, quota: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503: the record couldn't be written either."""

    def fail(*_: object) -> bool:
        raise EndpointConnectionError(endpoint_url="https://dynamodb")

    ours = limited(**{quota: LIMIT})
    monkeypatch.setattr(services().waiting, "_add", fail)
    monkeypatch.setattr(services().requests, "_count", fail)
    problem(ours.post("/tasks/post", json={}), 503, "unavailable")
