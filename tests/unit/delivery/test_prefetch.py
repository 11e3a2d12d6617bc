from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from celery.worker import state

from celeriac.app.factory import Celeriac
from celeriac.worker.prefetch import MOST_AHEAD, PrefetchStep, prefetch_count
from tests.unit.delivery.single_worker import SingleWorker


@pytest.mark.parametrize("busy", [False, True])
def test_an_idle_worker_polls_again_after_it_has_given_back_what_did_not_begin(
    app: Celeriac, worker: SingleWorker, monkeypatch: pytest.MonkeyPatch, busy: bool
) -> None:
    """A process died with the message in its pipe: no acknowledgement will wake the channel."""
    for number in range(2 if busy else 1):
        app.tasks["double"].delay(number)
    if busy:
        running = worker.take()
        running.on_accepted(0, 0)
    waiting = worker.take()
    state.task_reserved(waiting)
    woken: list[bool] = []
    consumer = SimpleNamespace(
        pool=SimpleNamespace(num_processes=1),
        qos=SimpleNamespace(value=1, set=lambda _: None),
        task_consumer=SimpleNamespace(
            channel=SimpleNamespace(wake=lambda: woken.append(True), is_paused=lambda _: False)
        ),
    )
    later = time.monotonic() + 3
    monkeypatch.setattr("celeriac.worker.prefetch.monotonic", lambda: later)

    for _ in range(2):
        PrefetchStep(consumer).act(consumer)

    assert waiting.returned
    # Again and again: the room may come only when the lease of what went back is given up.
    assert woken == ([] if busy else [True, True])


def test_short_tasks_are_held_ahead() -> None:
    """As many as the processes soon get through, and no more than a few for each."""
    assert prefetch_count(8, 0.1, [0.05] * 8) == 8 + 32
    assert prefetch_count(8, 0.001, []) == 8 + 8 * MOST_AHEAD


def test_long_tasks_are_not_held_ahead() -> None:
    """One for each process; the others are free for other workers."""
    assert prefetch_count(8, 60, []) == 8
    assert prefetch_count(8, None, []) == 8


def test_long_tasks_after_short_ones_are_not_held_ahead_either() -> None:
    """What the tasks under way have taken already counts, though none of them has ended."""
    assert prefetch_count(8, 0.01, [30.0] * 8) == 8
