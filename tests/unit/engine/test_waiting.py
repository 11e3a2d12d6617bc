"""How many unfinished tasks a tenant may have."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from celeriac.settings import Settings
from celeriac.storage.services import services
from celeriac.storage.waiting import INTERVAL, Waiting
from tests.unit.engine.meter import metered
from tests.unit.engine.support import Timer

LIMIT = 3


class Tenant:
    """A tenant's unfinished tasks, and processes that accept more of them.

    The index of unfinished tasks shows those that it has ``seen``.
    """

    def __init__(self, table: str, *, processes: int = 1) -> None:
        self.name = f"tenant-{uuid.uuid4().hex[:12]}"
        self.timer = Timer()
        self.unfinished = 0
        self.unseen = 0
        self.while_counting: Callable[[], object] = lambda: None
        self.processes = [
            Waiting(services().dynamodb, table, self._count, clock=self.timer)
            for _ in range(processes)
        ]

    def _count(self, _: str) -> int:
        seen = self.unfinished - self.unseen
        happening, self.while_counting = self.while_counting, lambda: None
        happening()
        return seen

    def submit(self, process: int = 0, *, limit: int = LIMIT) -> timedelta | None:
        wait = self.processes[process].admit(self.name, limit)
        self.unfinished += wait is None
        return wait

    def wait(self) -> None:
        self.timer.advance(INTERVAL)
        self.unseen = 0


@pytest.fixture
def tenant(aws: Settings) -> Tenant:
    return Tenant(aws.table_name, processes=2)


def test_the_limit_is_accepted_and_no_more(tenant: Tenant) -> None:
    """The first over it is told when the tasks are counted again."""
    assert [tenant.submit() for _ in range(LIMIT)] == [None] * LIMIT
    assert tenant.submit() == INTERVAL
    tenant.timer.advance(timedelta(seconds=2))
    assert tenant.submit() == INTERVAL - timedelta(seconds=2)


def test_a_task_that_ends_makes_room_for_another(tenant: Tenant) -> None:
    """Once the tasks are counted again, by whichever process."""
    for _ in range(LIMIT + 1):
        tenant.submit()
    tenant.unfinished -= 2
    tenant.wait()

    assert [tenant.submit(1) for _ in range(3)] == [None, None, INTERVAL]


def test_tasks_from_before_there_was_a_limit_count(tenant: Tenant) -> None:
    """Their tenant's first submission counts them."""
    tenant.unfinished = LIMIT

    assert tenant.submit() is not None


def test_another_tenant_has_room_of_its_own(tenant: Tenant, aws: Settings) -> None:
    """Its tasks aren't counted with these."""
    for _ in range(2 * LIMIT):
        tenant.submit()
    assert Tenant(aws.table_name).submit() is None


def test_a_lower_limit_holds_at_once(tenant: Tenant) -> None:
    """What has been accepted stays; nothing more is."""
    for _ in range(LIMIT):
        tenant.submit()
    assert tenant.submit(limit=1) is not None


def test_what_is_accepted_while_tasks_are_counted_stays_counted(tenant: Tenant) -> None:
    """The correction is added to the number, not written over it."""
    for _ in range(LIMIT):
        tenant.submit()
    tenant.unfinished -= 2
    tenant.wait()
    # Under a higher limit it is accepted at once.
    tenant.while_counting = lambda: tenant.submit(1, limit=10)

    tenant.submit()
    assert tenant.unfinished == LIMIT
    assert tenant.submit() is not None


def test_of_two_processes_that_count_at_once_one_corrects(tenant: Tenant) -> None:
    """Two corrections would make room twice."""
    for _ in range(LIMIT):
        tenant.submit()
    tenant.unfinished -= 1
    tenant.wait()
    tenant.while_counting = lambda: tenant.submit(1)

    tenant.submit()
    assert tenant.unfinished == LIMIT


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.sampled_from(["submit", "submit elsewhere", "end", "wait", "fall behind"]), max_size=40
    )
)
def test_a_tenant_never_has_more_than_twice_its_limit(aws: Settings, events: list[str]) -> None:
    """However far the index lags behind, up to the interval of counting; without a lag never more
    than the limit. And room is always found again."""
    tenant = Tenant(aws.table_name, processes=2)
    behind = False
    for event in events:
        match event:
            case "submit":
                tenant.unseen += tenant.submit() is None
            case "submit elsewhere":
                tenant.unseen += tenant.submit(1) is None
            case "end" if tenant.unfinished:
                tenant.unfinished -= 1
            case "wait":
                tenant.wait()
            case "fall behind":
                behind = True
        tenant.unseen = min(tenant.unseen, tenant.unfinished) if behind else 0
        assert tenant.unfinished <= (2 * LIMIT if behind else LIMIT)
    tenant.unfinished = 0
    for _ in range(2):
        tenant.wait()
    assert tenant.submit() is None


def test_a_submission_costs_one_write_and_a_refused_one_nothing(tenant: Tenant) -> None:
    """Tasks are counted when there seems to be no room, once in an interval."""
    tenant.submit()
    with metered() as bill:
        for _ in range(LIMIT - 1):
            tenant.submit()
        assert bill.requests == {"dynamodb:UpdateItem": LIMIT - 1}
    tenant.wait()
    with metered() as bill:
        for _ in range(100):
            tenant.submit()
        # Refused, read, corrected and refused again.
        assert bill.requests == {"dynamodb:UpdateItem": 3, "dynamodb:GetItem": 1}
