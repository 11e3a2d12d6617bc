"""What following a task reads of the table, as the price list counts it."""

from __future__ import annotations

import pytest

from celeriac.cdk.prices import FollowingCost, looks
from tests.integration.api.conftest import Api, Worker
from tests.unit.engine.meter import metered


@pytest.mark.parametrize("seconds", [1, 3])
def test_a_long_poll_reads_once_a_second_and_twice_in_the_first(api: Api, seconds: int) -> None:
    """And once before it waits. A look may come a little late, so the price is the most."""
    task_id = api.submit()

    with metered() as bill:
        answer = api.get(f"/tasks/{task_id}?wait={seconds}")

    assert answer.json()["status"] == "PENDING"
    assert bill.units.total() == 0
    assert seconds + 1 <= bill.reads <= 1 + looks(seconds)


def test_the_last_poll_reads_the_result(api: Api, worker: Worker) -> None:
    """One of two hundred characters is an item of its own."""
    task_id = api.submit()
    worker.succeed(task_id, {"text": "x" * 200})
    api.get(f"/tasks/{task_id}")

    with metered() as bill:
        assert api.get(f"/tasks/{task_id}?wait=20").json()["status"] == "SUCCESS"

    none_waits = FollowingCost(seconds=0, result=200)
    assert bill.reads == none_waits.reads - looks(0, none_waits.polls) - (none_waits.polls - 1)
