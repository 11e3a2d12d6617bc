"""``AsyncResult.revoke``, from plain Celery code, although no worker can be told of it."""

from __future__ import annotations

from types import ModuleType

import pytest
from celery import chain, group
from celery.exceptions import TaskRevokedError

from celeriac import states
from tests.faults.stack import Stack
from tests.integration.processes import wait_for

PATIENCE = 20


def test_a_waiting_task_is_revoked(stack: Stack, tasks: ModuleType) -> None:
    """No worker needs to be alive, nor to remember it."""
    result = tasks.sleeping.delay("revoked-waiting", 0)
    result.revoke()
    with pytest.raises(TaskRevokedError):
        result.get(timeout=1)
    stack.start_worker(1)
    wait_for(lambda: not any(stack.depth().values()), "the message to be dropped")
    assert tasks.counted("revoked-waiting") == 0


def test_a_running_task_goes_on_unless_it_is_to_be_terminated(
    stack: Stack, tasks: ModuleType
) -> None:
    """As Celery documents it: ``terminate`` is what ends a task that has begun."""
    stack.start_worker(2)
    going_on = tasks.sleeping.delay("revoked-running", 3)
    ending = tasks.sleeping.delay("revoked-terminated", 60)
    names = ("revoked-running", "revoked-terminated")
    wait_for(lambda: all(tasks.counted(name) == 1 for name in names), "both to run")
    going_on.revoke()
    ending.revoke(terminate=True)
    assert going_on.get(timeout=PATIENCE) == "revoked-running"
    with pytest.raises(TaskRevokedError):
        ending.get(timeout=PATIENCE)
    assert stack.record(ending.id).state == states.REVOKED


def test_a_later_step_of_a_chain_is_revoked_before_it_is_sent(
    stack: Stack, tasks: ModuleType
) -> None:
    """The steps before it run, it doesn't."""
    last = chain(tasks.add.s(1, 1), tasks.counting.si("revoked-step")).delay()
    last.revoke()
    stack.start_worker(1)
    assert last.parent.get(timeout=PATIENCE) == 2
    with pytest.raises(TaskRevokedError):
        last.get(timeout=PATIENCE)
    wait_for(lambda: not any(stack.depth().values()), "the message to be dropped")
    assert tasks.counted("revoked-step") == 0


def test_a_group_is_revoked_as_one(stack: Stack, tasks: ModuleType) -> None:
    """Each of its members ends as REVOKED."""
    result = group(tasks.sleeping.si("revoked-member", 0) for _ in range(3)).delay()
    result.revoke()
    assert {stack.record(each.id).state for each in result} == {states.REVOKED}
