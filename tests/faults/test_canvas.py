"""Celery's public behaviour is kept: canvas, callbacks, retries, results."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType

import pytest
from celery import chain, chord, group
from celery.exceptions import TimeoutError as CeleryTimeoutError
from celery.result import AsyncResult, GroupResult

from celeriac import states
from celeriac.local.standin import Fault, Standin
from tests.faults.stack import Stack
from tests.integration.processes import wait_for

PATIENCE = 30


@pytest.fixture(scope="module")
def worker(package_stack: Stack) -> Iterator[None]:
    """A worker of four processes, for all tests here."""
    worker = package_stack.start_shared_worker(4)
    yield
    print(worker.log)
    worker.clean_up()


pytestmark = pytest.mark.usefixtures("worker", "stack")


def test_a_chord_of_fifty_with_duplicated_members_runs_its_body_once(
    stack: Stack, aws: Standin, tasks: ModuleType
) -> None:
    """A member that is delivered twice counts once."""
    aws.inject(Fault("duplicate", probability=0.5))
    members = [tasks.counting.s("chord-member", n) for n in range(50)]
    result = chord(members, tasks.counting_total.s("chord-body")).delay()
    assert result.get(timeout=90) == sum(range(50))
    assert stack.record(result.id).state == states.SUCCESS
    aws.heal()
    wait_for(lambda: not any(stack.depth().values()), "every duplicate to be dropped", 40)
    assert tasks.counted("chord-body") == 1
    assert tasks.counted("chord-member") == 50
    assert aws.stats()["duplicates"] > 0


def test_a_chain_hands_each_result_to_the_next(tasks: ModuleType) -> None:
    """(2 + 2) + 4 + 8."""
    result = chain(tasks.add.s(2, 2), tasks.add.s(4), tasks.add.s(8)).delay()
    assert result.get(timeout=PATIENCE) == 16
    assert result.parent.get(timeout=PATIENCE) == 8


def test_immutable_signatures_take_no_result(tasks: ModuleType) -> None:
    """``si`` runs with its own arguments only."""
    assert chain(tasks.add.s(2, 2), tasks.add.si(3, 3)).delay().get(timeout=PATIENCE) == 6


def test_a_group_gives_its_results_in_order(tasks: ModuleType) -> None:
    """Also when it is saved and restored."""
    result = group(tasks.add.s(n, n) for n in range(12)).delay()
    assert result.get(timeout=PATIENCE) == [2 * n for n in range(12)]
    result.save()
    restored = GroupResult.restore(result.id, app=tasks.app)
    assert restored.get(timeout=PATIENCE) == result.get()
    assert restored.successful()
    assert restored.completed_count() == 12


def test_a_chord_gives_its_body_all_results(tasks: ModuleType) -> None:
    """The body runs once all are there."""
    result = chord([tasks.add.s(n, n) for n in range(10)])(tasks.total.s())
    assert result.get(timeout=PATIENCE) == 90


def test_nested_canvas(tasks: ModuleType) -> None:
    """A chord in a chain in a group, a chord of chords, a group after a chord."""
    chord_in_chain = chain(
        tasks.add.s(1, 1),
        chord([tasks.add.s(n) for n in range(3)], tasks.total.s()),
        tasks.add.s(100),
    )
    assert chord_in_chain.delay().get(timeout=PATIENCE) == 2 * 3 + 3 + 100
    inner = chord([tasks.add.s(1, 1), tasks.add.s(2, 2)], tasks.total.s())
    chord_of_chords = chord([inner, inner.clone()], tasks.total.s())
    assert chord_of_chords.delay().get(timeout=PATIENCE) == 12
    group_into_group = chain(
        group(tasks.add.s(1, 1), tasks.add.s(2, 2)), group(tasks.total.s(), tasks.total.s())
    )
    assert group_into_group.delay().get(timeout=PATIENCE) == [6, 6]
    chains_in_chord = chord(
        [chain(tasks.add.s(n, 1), tasks.add.s(10)) for n in range(3)], tasks.total.s()
    )
    assert chains_in_chord.delay().get(timeout=PATIENCE) == 36


def test_a_failing_member_fails_the_chord_and_calls_its_errback(
    stack: Stack, tasks: ModuleType
) -> None:
    """The body doesn't run; it is FAILURE, and its caller gets the member's error."""
    body = tasks.total.s().on_error(tasks.errback.s())
    result = chord([tasks.add.s(1, 1), tasks.failing.s()], body).delay()
    with pytest.raises(ValueError, match="as it was told to"):
        result.get(timeout=PATIENCE)
    wait_for(lambda: tasks.counted(f"errback-of-{result.id}") >= 1, "the errback")
    wait_for(lambda: stack.record(result.id).state == states.FAILURE, "the body to be ended")


def test_a_chord_fails_for_whatever_its_member_raises(stack: Stack, tasks: ModuleType) -> None:
    """Also for an error of the operating system's, which AWS out of reach would raise as well."""
    member = tasks.failing_on_a_file.s("lost.csv")
    result = chord([tasks.add.s(1, 1), member], tasks.total.s()).delay()
    with pytest.raises(FileNotFoundError, match=r"lost\.csv"):
        result.get(timeout=PATIENCE)
    failed = result.parent.results[1].id
    wait_for(lambda: result.state == states.FAILURE, "the body to be ended")
    failure = stack.record(result.id).failure
    assert failure is not None
    assert failure.message.startswith(f"Dependency {failed} raised")


def test_a_failure_in_a_chain_ends_it_and_its_errbacks_run(stack: Stack, tasks: ModuleType) -> None:
    """What comes after it never runs; both kinds of errback are called."""
    result = chain(
        tasks.failing.s().on_error(tasks.old_errback.s()), tasks.counting.si("after-failure")
    ).delay()
    with pytest.raises(ValueError, match="as it was told to"):
        result.parent.get(timeout=PATIENCE)
    wait_for(lambda: tasks.counted(f"old-errback-of-{result.parent.id}") == 1, "the errback to run")
    wait_for(lambda: result.state == states.FAILURE, "the rest of the chain to be ended")
    assert tasks.counted("after-failure") == 0


def test_a_failure_before_a_group_fails_its_members(tasks: ModuleType) -> None:
    """A caller that waits for the group, or for a chain in it, isn't left waiting."""
    members = group(tasks.add.s(1), chain(tasks.add.s(1), tasks.add.s(2)))
    result = chain(tasks.failing.s(), tasks.add.s(1), members).delay()
    with pytest.raises(ValueError, match="as it was told to"):
        result.get(timeout=PATIENCE)
    assert [each.state for each in result] == [states.FAILURE, states.FAILURE]


def test_links_run_after_success_and_link_errors_after_failure(tasks: ModuleType) -> None:
    """With the result, or with request, error and traceback."""
    name = f"linked-{time.time()}"
    tasks.identity.apply_async((name,), link=tasks.counting.s())
    wait_for(lambda: tasks.counted(name) == 1, "the link to run")
    failed = tasks.failing.apply_async(link_error=tasks.errback.s())
    wait_for(lambda: tasks.counted(f"errback-of-{failed.id}") == 1, "the errback to run")


def test_retry_runs_again_until_it_succeeds_or_gives_up(stack: Stack, tasks: ModuleType) -> None:
    """``retry`` counts attempts, and raises the task's own error in the end."""
    assert tasks.retrying.delay("retry-some", 2).get(timeout=PATIENCE) == 2
    assert tasks.counted("retry-some") == 3
    result = tasks.retrying.delay("retry-all", 99)
    with pytest.raises(ValueError, match="as it was told to"):
        result.get(timeout=PATIENCE)
    assert tasks.counted("retry-all") == 4
    assert stack.record(result.id).attempt == 4


def test_an_ignored_result_is_not_kept(stack: Stack, tasks: ModuleType) -> None:
    """The task still ends in SUCCESS, and its record says so."""
    result = tasks.ignored.delay("ignored")
    record = stack.wait_for_state(result.id, states.SUCCESS)
    assert tasks.counted("ignored") == 1
    assert AsyncResult(result.id, app=tasks.app).result is None
    assert record.failure is None


def test_get_gives_up_after_its_timeout(tasks: ModuleType) -> None:
    """And the result can still be had later."""
    result = tasks.sleeping.delay("slow", 2)
    with pytest.raises(CeleryTimeoutError):
        result.get(timeout=0.5)
    assert result.get(timeout=PATIENCE) == "slow"


def test_get_raises_the_tasks_own_error(tasks: ModuleType) -> None:
    """Its type and message; or hands it over."""
    result = tasks.failing.delay()
    with pytest.raises(ValueError, match="as it was told to"):
        result.get(timeout=PATIENCE)
    assert isinstance(result.get(timeout=PATIENCE, propagate=False), ValueError)
    assert "as it was told to" in result.traceback


def test_children_are_those_a_task_has_started(tasks: ModuleType) -> None:
    """``result.children`` can be followed."""
    result = tasks.parent.delay(1)
    assert result.get(timeout=PATIENCE) == 1
    assert sorted(child.get(timeout=PATIENCE) for child in result.children) == [2, 3]


def test_update_state_shows_while_the_task_runs(tmp_path: Path, tasks: ModuleType) -> None:
    """State and meta are the task's to choose."""
    flag = tmp_path / "go"
    result = tasks.reporting.delay(str(flag))
    wait_for(lambda: result.state == "PROGRESS", "the state to show")
    assert result.info == {"done": 50}
    flag.touch()
    assert result.get(timeout=PATIENCE) == "reported"


def test_a_task_can_be_replaced(tasks: ModuleType) -> None:
    """``replace`` hands the id on to another signature, also to the last of a chain."""
    assert tasks.replaced.delay(1).get(timeout=PATIENCE) == 101
    assert tasks.replaced_by_chain.delay(1).get(timeout=PATIENCE) == 11
    in_chain = chain(tasks.add.s(1, 1), tasks.replaced.s(), tasks.add.s(1000)).delay()
    assert in_chain.get(timeout=PATIENCE) == 1102


def test_maps_and_chunks(tasks: ModuleType) -> None:
    """``starmap`` and ``chunks`` run as tasks of their own."""
    assert tasks.add.starmap([(1, 1), (2, 2)]).delay().get(timeout=PATIENCE) == [2, 4]
    chunks = tasks.add.chunks([(n, n) for n in range(6)], 2).group().delay()
    assert chunks.get(timeout=PATIENCE) == [[0, 2], [4, 6], [8, 10]]


def test_a_task_sees_the_headers_that_its_caller_gave(tasks: ModuleType) -> None:
    """Also after a retry; what delivery adds for itself is no business of the task's."""
    headers = tasks.headers_of.apply_async(headers={"x-given": "kept"}).get(timeout=PATIENCE)
    assert headers["x-given"] == "kept"
    assert not {"owner", "claimed"} & set(headers)


def test_a_task_sees_when_it_was_to_begin(tasks: ModuleType) -> None:
    """``self.request.eta``, though no worker has waited for it."""
    eta = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=2)
    assert tasks.eta_of.apply_async(eta=eta).get(timeout=PATIENCE) == eta.isoformat()
    assert tasks.eta_of.delay().get(timeout=PATIENCE) is None


def test_a_task_that_rejects_its_message_gets_it_again_at_once(tasks: ModuleType) -> None:
    """``Reject(requeue=True)``: the next delivery says that it is one, and needn't wait."""
    result = tasks.rejecting_once.delay("rejecting")
    assert result.get(timeout=PATIENCE) == "redelivered"
    assert tasks.counted("rejecting") == 2
