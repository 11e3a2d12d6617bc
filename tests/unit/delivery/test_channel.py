"""What a channel keeps of messages that it holds no longer."""

from __future__ import annotations

from datetime import timedelta

import pytest

from celeriac.app.factory import Celeriac
from tests.unit.delivery.single_worker import SingleWorker


@pytest.mark.parametrize("how", ["acknowledged", "forgotten", "given back", "rejected"])
def test_a_message_that_is_let_go_leaves_nothing_behind(
    app: Celeriac, worker: SingleWorker, how: str
) -> None:
    """Nor does one that was to be hidden, and isn't held: a worker lives for weeks."""
    app.tasks["double"].delay(1)
    request = worker.take()
    channel, tag = worker.channel, request.tag
    channel.return_after(tag, timedelta(0))

    match how:
        case "acknowledged":
            request.acknowledge()
        case "forgotten":
            request.abandon()
        case "given back":
            channel.return_now([tag])
        case _:
            request.reject(requeue=True)
    channel.return_after(tag, timedelta(0))

    assert len(channel.held) == 0
    assert channel._returns_after == {}
    worker.show_all()
