"""What becomes of the messages when the worker is told to stop.

SIGTERM   stop polling; hand back what hasn't begun, visible at once
          let running tasks finish, their leases renewed, for the drain window
then      kill what is left, hand its records and messages back, claimable at once
SIGKILL   ECS, after stopTimeout
"""

from __future__ import annotations

import logging
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from celeriac.letting_go import give_up
from celeriac.settings import settings
from worker.claims import beginning, waiting
from worker.keeper import keeper
from worker.phases import Phase

if TYPE_CHECKING:
    from celeriac.transport import Channel
    from worker.request import RecordedRequest

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.1
#: How many leases are given up side by side.
_RELEASERS = 16


def begin(**_: Any) -> None:
    """Called in the signal handler of the main process; the rest is a thread's."""
    threading.Thread(target=_drain, name="drain", daemon=True).start()


def _drain() -> None:
    channel = keeper.channel
    if channel is None:
        return
    channel.drain()
    _give_back_waiting(channel)
    ends_at = monotonic() + settings().drain_window.total_seconds()
    while (keeper.running() or beginning()) and monotonic() < ends_at:
        sleep(_POLL_SECONDS)
    left = keeper.running()
    if not left:
        return
    log.warning("%d tasks did not end within the drain window: handed back", len(left))
    for request in left:
        _hand_back(request)
    channel.give_back([request.tag for request in left])
    keeper.end()
    # The main thread waits for children that are no more; nothing of theirs is left to say.
    os._exit(os.EX_OK)


def _give_back_waiting(channel: Channel) -> None:
    """Make what hasn't begun visible at once, and claimable."""
    stays = {request.tag for request in keeper.running()}
    claimed = []
    for request in waiting():
        if not request.leave_line():
            stays.add(request.tag)
            continue
        was = request.phase.enter(Phase.GIVEN_BACK, unless=(Phase.BEGUN,))
        if was is Phase.CLAIMED:
            claimed.append(request)
        elif was in (None, Phase.CLAIMING, Phase.GIVEN_BACK):
            # Seen to by its process, by who hears of its claim, or by who gave it back.
            stays.add(request.tag)
    tags = [tag for tag in channel.held.snapshot() if tag not in stays]
    if not tags:
        return
    log.info("%d prefetched messages go back to their queues", len(tags))
    with ThreadPoolExecutor(_RELEASERS) as threads:
        list(threads.map(lambda each: give_up(each.id, each.owner), claimed))
    channel.give_back(tags)


def _hand_back(request: RecordedRequest) -> None:
    """Kill the child that is at a task, and make the task claimable at once."""
    request.kill_child()
    give_up(request.id, request.owner)
