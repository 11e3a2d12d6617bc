"""What a channel keeps of messages that it holds no longer."""

from __future__ import annotations

from datetime import timedelta

import pytest

from celeriac.app import CeleriacApp
from tests.unit.delivery.single_worker import SingleWorker


@pytest.mark.parametrize("how", ["acknowledged", "forgotten", "given back", "rejected"])
def test_a_message_that_is_let_go_leaves_nothing_behind(
    app: CeleriacApp, worker: SingleWorker, how: str
) -> None:
    """Nor does one that was to be hidden, and isn't held: a worker lives for weeks."""
    app.tasks["double"].delay(1)
    request = worker.receive()
    assert request is not None
    channel, tag = worker.channel, request.tag
    channel.hide(tag, timedelta(0))

    match how:
        case "acknowledged":
            request.acknowledge()
        case "forgotten":
            request.forget()
        case "given back":
            channel.give_back([tag])
        case _:
            request.reject(requeue=True)
    channel.hide(tag, timedelta(0))

    assert len(channel.held) == 0
    assert channel._hide == {}
    worker.show_all()
