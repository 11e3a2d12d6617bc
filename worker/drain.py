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
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from celeriac.errors import transient
from celeriac.records import LeaseLostError
from celeriac.services import services
from celeriac.settings import settings
from worker.keeper import keeper

if TYPE_CHECKING:
    from worker.request import RecordedRequest

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.1


def begin(**_: Any) -> None:
    """Called in the signal handler of the main process; the rest is a thread's."""
    threading.Thread(target=_drain, name="drain", daemon=True).start()


def _drain() -> None:
    channel = keeper.channel
    if channel is None:
        return
    channel.drain()
    running = {request.tag for request in keeper.running()}
    waiting = [tag for tag in channel.held.snapshot() if tag not in running]
    if waiting:
        log.info("%d prefetched messages go back to their queues", len(waiting))
        channel.give_back(waiting)
    ends_at = monotonic() + settings().drain_window.total_seconds()
    while keeper.running() and monotonic() < ends_at:
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


def _hand_back(request: RecordedRequest) -> None:
    """Kill the child that is at a task, and make the task claimable at once."""
    request.kill_child()
    try:
        services().records.release(request.id, request.owner)
    except LeaseLostError as lost:
        log.info("%s", lost)
    except Exception as error:
        if not transient(error):
            raise
        log.warning("the lease of task %s ends by itself: %s", request.id, error)
