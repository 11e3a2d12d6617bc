from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from celery.worker import state

from celeriac.app import CeleriacApp
from tests.unit.delivery.single_worker import SingleWorker
from worker.prefetch import PrefetchStep


@pytest.mark.parametrize("busy", [False, True])
def test_an_idle_worker_polls_again_after_it_has_given_back_what_did_not_begin(
    app: CeleriacApp, worker: SingleWorker, monkeypatch: pytest.MonkeyPatch, busy: bool
) -> None:
    """A process died with the message in its pipe: no acknowledgement will wake the channel."""
    for number in range(2 if busy else 1):
        app.tasks["double"].delay(number)
    if busy:
        running = worker.receive()
        assert running is not None
        running.on_accepted(0, 0)
    waiting = worker.receive()
    assert waiting is not None
    state.task_reserved(waiting)
    woken: list[bool] = []
    consumer = SimpleNamespace(
        pool=SimpleNamespace(num_processes=1),
        qos=SimpleNamespace(value=1, set=lambda _: None),
        task_consumer=SimpleNamespace(channel=SimpleNamespace(wake=lambda: woken.append(True))),
    )
    later = time.monotonic() + 3
    monkeypatch.setattr("worker.prefetch.monotonic", lambda: later)

    PrefetchStep(consumer)._adapt(consumer)

    assert waiting.given_back
    assert woken == ([] if busy else [True])
    state.reset_state()
