"""Whose message a worker claims next, of those it holds."""

from __future__ import annotations

from datetime import timedelta

import pytest
from celery.worker import state
from hypothesis import given
from hypothesis import strategies as st

from celeriac.app.sending import on_behalf_of
from celeriac.transport.message import HEADER
from celeriac.worker.prefetch import CLAIM_HORIZON, claims_ahead
from celeriac.worker.request import RecordedRequest
from celeriac.worker.tally import Tally
from tests.unit.delivery.main_process import Main


def take(main: Main, tenant: str) -> RecordedRequest:
    """Receive a message of this tenant, as Celery's consumer does."""
    with on_behalf_of({HEADER: {"tenant": tenant}}):
        main.app.tasks["double"].delay(1)
    request = main.worker.take()
    state.task_reserved(request)
    main.claims.take(request)
    return request


def test_a_quiet_tenants_message_passes_those_of_a_tenant_that_has_more_under_way(
    main: Main,
) -> None:
    """It was received last and is claimed as soon as there is room; then the oldest is."""
    flood = [take(main, "flooder") for _ in range(5)]
    quiet = take(main, "quiet")
    main.loop.turn_until(lambda: len(main.ran) == 2)
    assert set(main.ran) == set(flood[:2])

    main.run(flood[0])
    main.loop.turn_until(lambda: len(main.ran) == 3)
    assert main.ran[2] is quiet

    main.run(flood[1])
    main.loop.turn_until(lambda: len(main.ran) == 4)
    assert main.ran[3] is flood[2]


def test_one_tenants_messages_are_claimed_in_the_order_they_were_received(main: Main) -> None:
    """As without other tenants."""
    requests = [take(main, "one") for _ in range(4)]
    for ran in range(2, 4):
        main.loop.turn_until(lambda ran=ran: len(main.ran) == ran)  # type: ignore[misc]
        main.run(main.ran[ran - 2])
    main.loop.turn_until(lambda: len(main.ran) == 4)

    assert set(main.ran[:2]) == set(requests[:2])
    assert main.ran[2:] == requests[2:]


def test_of_long_tasks_few_are_claimed_ahead(main: Main, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can pass what is claimed, so it would wait for them."""
    tally = Tally()
    tally.note_duration(10)
    monkeypatch.setattr("celeriac.worker.claims.tally", tally)
    main.room.num_processes = 4
    for _ in range(4):
        take(main, "flooder")
    main.loop.turn_until(lambda: main.ran)
    assert len(main.claims._ahead) == 1

    main.room.value = 2
    take(main, "flooder")
    main.loop.turn_until(lambda: len(main.ran) == 3)
    assert len(main.claims._ahead) == 3


@given(processes=st.integers(1, 64), seconds=st.none() | st.floats(0, 10_000))
def test_what_is_claimed_ahead_lasts_as_long_as_a_claim_takes(
    processes: int, seconds: float | None
) -> None:
    """At least one, at most one for each process, and as many as begin within the horizon."""
    found = claims_ahead(processes, seconds)

    assert 1 <= found <= processes
    if seconds is None:
        assert found == processes
    elif found < processes:
        lasts = timedelta(seconds=found * seconds / processes)
        assert lasts >= CLAIM_HORIZON * 0.999
        assert timedelta(seconds=(found - 1) * seconds / processes) < CLAIM_HORIZON * 1.001
