"""Over HTTP: a submission that is the same as an earlier one, and what the catalogue says of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from celeriac.contract import BaseModel, Catalogue, Debounce, Limit, TaskContext, Unique, task
from celeriac.http.app import create_app
from celeriac.http.routes import health
from celeriac.settings import Settings
from tasks.queues import DEFAULT
from tests.integration.api.conftest import Api


class Invoice(BaseModel):
    number: int
    note: str = ""


@task(queue=DEFAULT, unique_for=Unique(key=("number",)), max_running=5)
def send_invoice(payload: Invoice, context: TaskContext) -> Invoice:
    """Send an invoice."""
    return payload


@task(
    queue=DEFAULT,
    debounce=Debounce(timedelta(minutes=1), key=("number",)),
    limits=(Limit(rate="100/m", per="tenant", key=("number",), burst=3),),
)
def print_invoice(payload: Invoice, context: TaskContext) -> Invoice:
    """Print an invoice."""
    return payload


@pytest.fixture(scope="module")
def limited(aws: Settings) -> Iterator[Api]:
    health.forget()
    yield Api.of(create_app(catalogue=Catalogue([send_invoice, print_invoice])))
    health.forget()


def test_the_same_submission_gives_the_first_ones_task(limited: Api) -> None:
    """202 again with its Location, and a header that says why."""
    first = limited.post("/tasks/send-invoice", json={"number": 1})
    again = limited.post("/tasks/send-invoice", json={"number": 1, "note": "quick"})
    other = limited.post("/tasks/send-invoice", json={"number": 2})

    assert [each.status_code for each in (first, again, other)] == [202] * 3
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["unique-replayed"] == "true"
    assert "idempotent-replayed" not in again.headers
    assert "unique-replayed" not in first.headers
    assert other.headers["location"] != first.headers["location"]


def test_of_a_batch_each_item_says_whether_it_was_accepted_before(limited: Api) -> None:
    """The second of the same is the first one's task."""
    items = [{"payload": {"number": 3}}, {"payload": {"number": 3}}]
    first = limited.post("/tasks/send-invoice/batch", json={"items": items[:1]}).json()["data"]
    again = limited.post("/tasks/send-invoice/batch", json={"items": items[1:]}).json()["data"]

    assert [first[0]["replayed"], again[0]["replayed"]] == [False, True]
    assert first[0]["task"]["task_id"] == again[0]["task"]["task_id"]


def test_a_superseded_task_says_what_took_its_place(limited: Api) -> None:
    """It is REVOKED, with an error type for programs and a sentence with the later id."""
    first = limited.post("/tasks/print-invoice", json={"number": 1}).json()["task_id"]
    second = limited.post("/tasks/print-invoice", json={"number": 1}).json()["task_id"]

    found = limited.get(f"/tasks/{first}").json()
    assert found["status"] == "REVOKED"
    assert found["error"]["type"] == "superseded"
    assert second in found["error"]["message"]
    assert limited.get(f"/tasks/{second}").json()["status"] == "PENDING"


def test_the_catalogue_shows_limits(limited: Api) -> None:
    """So that a caller knows why its tasks wait."""
    found = {each["name"]: each for each in limited.get("/catalogue").json()["data"]}

    assert found["send-invoice"]["limits"] == [
        {"per": "type", "key": [], "max_running": 5, "rate": None, "burst": 1}
    ]
    assert found["send-invoice"]["unique"] == {
        "key": ["number"],
        "period_seconds": None,
    }
    assert found["print-invoice"]["limits"][0]["rate"] == "100/m"
    assert found["print-invoice"]["debounce"] == {
        "key": ["number"],
        "delay_seconds": 60,
        "max_wait_seconds": 600,
    }
    assert found["print-invoice"]["unique"] is None
