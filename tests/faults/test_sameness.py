"""Whatever comes at once, the same submissions are one task.

moto's conditional writes aren't atomic between threads. Those of the stand-in are.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

from celeriac import states
from celeriac.operations.sameness import SUPERSEDED
from celeriac.operations.submission import Submission, submit
from celeriac.operations.submit_many import Item, submit_many
from celeriac.storage.services import services
from tests.faults.limited import evidence
from tests.faults.stack import Stack


def test_fifty_threads_submit_one_task(stack: Stack, tasks: ModuleType) -> None:
    """One of them creates it, the others are given it, and it runs once."""
    payload = {"name": "fifty", "series": "fifty"}
    with ThreadPoolExecutor(50) as threads:
        accepted = list(
            threads.map(lambda _: submit("only-one", payload, app=stack.caller), range(50))
        )
    stack.start_worker(4)
    [task_id] = {each.record.task_id for each in accepted}
    stack.wait_for_state(task_id, states.SUCCESS)

    assert sum(not each.replayed for each in accepted) == 1
    assert len(evidence("fifty")) == 1


def test_of_a_batch_that_is_the_same_one_is_accepted(stack: Stack, tasks: ModuleType) -> None:
    """The others of the same batch are given it."""
    answers = submit_many("only-one", [Item({"name": "batch"})] * 20, app=stack.caller)

    accepted = [each for each in answers if isinstance(each, Submission)]
    assert len(accepted) == 20
    assert len({each.record.task_id for each in accepted}) == 1
    assert sum(each.replayed for each in accepted) == 19


def test_of_those_that_come_at_once_the_last_is_left(stack: Stack, tasks: ModuleType) -> None:
    """Twenty threads: each supersedes the one before it, whatever their order."""
    payload = {"name": "x"}
    with ThreadPoolExecutor(20) as threads:
        accepted = list(
            threads.map(lambda _: submit("much-later", payload, app=stack.caller), range(20))
        )

    found = services().records.get_many(each.record.task_id for each in accepted).values()
    assert sorted(each.state for each in found) == [states.PENDING] + [states.REVOKED] * 19


def test_a_stream_runs_now_and_then_and_its_last_one_in_the_end(
    stack: Stack, tasks: ModuleType, record_property: Callable[[str, object], None]
) -> None:
    """Five a second for twelve seconds, with a delay of two seconds, and five at most."""
    stack.start_worker(4)
    submitted: list[str] = []
    ends_at = time.monotonic() + 12
    while time.monotonic() < ends_at:
        payload = {"name": "x", "series": "stream"}
        submitted.append(submit("settled", payload, app=stack.caller).record.task_id)
        time.sleep(0.2)  # the pace of the stream

    records = stack.wait_for_all(submitted, 30)

    ran = [each for each in submitted if records[each].state == states.SUCCESS]
    superseded = [records[each] for each in submitted if each not in ran]
    record_property("figures", f"{len(ran)} of {len(submitted)} submissions ran")
    assert submitted[-1] in ran
    assert 2 <= len(ran) <= 4
    assert {each.state for each in superseded} == {states.REVOKED}
    assert {each.failure.type for each in superseded if each.failure} == {SUPERSEDED}
