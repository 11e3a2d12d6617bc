"""Two callers with one idempotency key: whatever their writes' order, it is one task."""

from __future__ import annotations

import itertools

import pytest

from celeriac import states
from celeriac.app.factory import Celeriac
from celeriac.operations.submission import Submission
from celeriac.testing import MemoryRecords
from tests.unit.engine.interleaving import System
from tests.unit.engine.pausing import Step
from tests.unit.engine.support import Timer

#: Each caller has three writes at most.
ORDERS = [order for order in itertools.product((0, 1), repeat=5) if 0 < sum(order) < 5]


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: "".join(map(str, order)))
def test_two_callers_with_one_key_submit_one_task(
    staged_app: Celeriac, staged_timer: Timer, order: tuple[int, ...]
) -> None:
    """Both get the same task, one of them as the first; it runs once."""
    system = System(staged_app, staged_timer, MemoryRecords(clock=staged_timer))
    first_id, first = system.caller("key")
    second_id, second = system.caller("key")
    callers = (first, second)

    for turn in order:
        if not callers[turn].done:
            callers[turn].resume(Step.GO)
    for caller in callers:
        while not caller.done:
            caller.resume(Step.GO)
    outcomes = [caller.outcome for caller in callers]
    system.deliver_everything()

    assert first_id == second_id
    accepted = [outcome for outcome in outcomes if isinstance(outcome, Submission)]
    assert len(accepted) == 2, outcomes
    assert {each.record.task_id for each in accepted} == {first_id}
    assert sorted(each.replayed for each in accepted) == [False, True]
    record = system.record(first_id)
    assert record is not None
    assert (record.state, record.attempt, record.lost) == (states.SUCCESS, 1, 0)
