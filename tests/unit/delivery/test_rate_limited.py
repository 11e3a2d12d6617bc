"""An attempt that a service refused doesn't count, however often that happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from celeriac import RateLimited, RetryLater, states
from celeriac.app.factory import Celeriac, make_app
from celeriac.contract import BaseModel, Catalogue, Retry, TaskContext, catalogue, task
from celeriac.operations.submission import submit
from celeriac.records import TaskRecord
from celeriac.settings import Settings
from celeriac.storage.services import services
from tasks.queues import DEFAULT
from tests.unit.delivery.single_worker import SingleWorker

NOW = timedelta(0)
ATTEMPTS = 3

#: What the attempts of a task raise, one after the other; then it ends.
ends: list[Exception] = []


class Note(BaseModel):
    text: str = ""


@task(
    name="ask-service",
    queue=DEFAULT,
    retry=Retry(attempts=ATTEMPTS, first_delay=NOW, max_delay=NOW),
)
def ask_service(payload: Note, context: TaskContext) -> Note:
    """Ask a service that refuses at times."""
    if ends:
        raise ends.pop(0)
    return payload


@pytest.fixture
def app(aws: Settings) -> Iterator[Celeriac]:
    app = make_app(aws, Catalogue([ask_service], catalogue().queues))
    yield app
    app.close()


def end_of(worker: SingleWorker, *raised: Exception) -> TaskRecord:
    """Run a task to its end; what its record says then."""
    ends[:] = raised
    task_id = submit("ask-service", {}, app=worker.app).record.task_id
    worker.run_all()
    found = services().records.get(task_id)
    assert found is not None
    return found


def limited() -> RateLimited:
    return RateLimited(NOW, "14 mails a second are the most")


def test_a_refusal_uses_up_no_attempt(worker: SingleWorker) -> None:
    """Ten of them, with three attempts: the task succeeds, and counts every attempt."""
    record = end_of(worker, *(limited() for _ in range(10)))
    assert record.state == states.SUCCESS
    assert (record.attempt, record.limited) == (11, 10)


def test_other_failures_still_end_the_task(worker: SingleWorker) -> None:
    """The attempts that count are as many as the policy allows."""
    failures = [ValueError("broken"), limited(), RetryLater(NOW), limited(), ValueError("broken")]
    record = end_of(worker, *failures)
    assert record.state == states.FAILURE
    assert record.failure is not None
    assert record.failure.type == "ValueError"
    assert record.limited == 2
    assert record.attempt == len(failures)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(refused=st.lists(st.sampled_from(["limited", "later", "error"]), max_size=8))
def test_any_order_of_failures_counts_alike(worker: SingleWorker, refused: list[str]) -> None:
    """A task ends at its third failure that counts, wherever refusals stand between them."""
    kinds: dict[str, Callable[[], Exception]] = {
        "limited": limited,
        "later": lambda: RetryLater(NOW),
        "error": lambda: ValueError("broken"),
    }
    record = end_of(worker, *(kinds[each]() for each in refused))
    counted = [place for place, each in enumerate(refused) if each != "limited"]
    over = len(counted) >= ATTEMPTS
    assert record.state == (states.FAILURE if over else states.SUCCESS)
    ran = counted[ATTEMPTS - 1] + 1 if over else len(refused) + 1
    assert record.attempt == ran


def test_a_task_that_runs_where_it_is_called_ends(app: Celeriac) -> None:
    """Its attempts follow each other at once, so that each counts: else it would never end."""
    ends[:] = [limited() for _ in range(100)]
    result = app.tasks["ask-service"].apply(kwargs={"payload": {"text": "x"}})
    assert result.state == states.FAILURE
    assert len(ends) == 100 - ATTEMPTS


@pytest.mark.parametrize("last", [False, True])
def test_a_task_that_is_killed_after_its_cancellation_is_revoked(
    worker: SingleWorker, last: bool
) -> None:
    """It ignored the request, and then its time limit; whether another attempt was left or not."""
    ends[:] = [ValueError("broken")] * (ATTEMPTS - 1) if last else []
    task_id = submit("ask-service", {}, app=worker.app).record.task_id
    for _ in range(len(ends)):
        worker.run(worker.take())
    request = worker.take()
    until = worker.app.new_lease()
    attempt = ATTEMPTS if last else 1
    services().records.claim(task_id, attempt, request.owner, until)
    request.on_accepted(0, 0)
    services().records.cancel(task_id)
    request.on_timeout(soft=False, timeout=1)
    # A message more tells what waits for the task, if anything does.
    worker.run_all()
    found = services().records.get(task_id)
    assert found is not None
    assert found.state == states.REVOKED
    assert worker.visible() + worker.hidden() == 0
