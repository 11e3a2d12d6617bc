"""What the event loop keeps of timers that were cancelled."""

from __future__ import annotations

import random
from datetime import timedelta
from time import monotonic
from types import SimpleNamespace

import pytest
from kombu.asynchronous import Hub

from celeriac.worker.timers import SweepStep


def test_cancelled_timers_go_and_the_others_fire_in_their_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However far off they are due: a task's time limit may be hours, and the task short."""
    monkeypatch.setattr(SweepStep, "interval", timedelta(milliseconds=1))
    hub = Hub()
    SweepStep(SimpleNamespace()).start(SimpleNamespace(hub=hub))
    fired: list[int] = []
    began_at = monotonic()
    for number in random.Random(1).sample(range(100), 100):
        hub.call_later(3600, fired.append, -1).cancel()
        hub.call_at(began_at + number / 1000, fired.append, number)

    loop = hub.create_loop()
    while len(fired) < 100:
        next(loop)

    assert fired == sorted(fired)
    # The sweep's own is left.
    assert len(hub.timer._queue) == 1
    hub.close()
