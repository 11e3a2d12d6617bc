"""How a worker ends: SIGTERM drains it.

SIGTERM   stop polling; return the messages of tasks that haven't begun, visible now
          let running tasks finish, their leases renewed, for the drain window
then      kill what still runs; release its leases, return its messages
SIGKILL   ECS, after stopTimeout
"""

from __future__ import annotations

import logging
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from celeriac.app.release import release_lease
from celeriac.worker.claims import beginning, waiting
from celeriac.worker.keeper import keeper
from celeriac.worker.phases import Phase

if TYPE_CHECKING:
    from celeriac.transport import Channel
    from celeriac.worker.request import RecordedRequest

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.1
#: How many leases are released side by side.
_RELEASERS = 16


def begin(**_: Any) -> None:
    """Called in the signal handler of the main process; the rest is a thread's."""
    threading.Thread(target=_drain, name="drain", daemon=True).start()


def _drain() -> None:
    channel = keeper().channel
    if channel is None:
        return
    channel.drain()
    _return_waiting(channel)
    ends_at = monotonic() + keeper().settings.drain_window.total_seconds()
    while (keeper().running() or beginning()) and monotonic() < ends_at:
        sleep(_POLL_SECONDS)
    left = keeper().running()
    if not left:
        return
    log.warning("%d tasks did not end within the drain window and return", len(left))
    for request in left:
        _release(request)
    channel.return_now([request.tag for request in left])
    keeper().end()
    # The main thread waits for children that were killed, and have nothing left to report.
    os._exit(os.EX_OK)


def _return_waiting(channel: Channel) -> None:
    """Return the messages of tasks that haven't begun, and release their leases."""
    stays = {request.tag for request in keeper().running()}
    claimed = []
    for request in waiting():
        was = request.enter_returned()
        if was is Phase.CLAIMED:
            claimed.append(request)
        elif was in (None, Phase.CLAIMING):
            # Its process, its claim's answer, or an earlier return settles it.
            stays.add(request.tag)
    tags = [tag for tag in channel.held.snapshot() if tag not in stays]
    if not tags:
        return
    log.info("%d messages that wait for a process return to their queues", len(tags))
    with ThreadPoolExecutor(_RELEASERS) as threads:
        list(threads.map(_let_others, claimed))
    channel.return_now(tags)


def _release(request: RecordedRequest) -> None:
    """Kill the child that runs a task, and release the task's lease."""
    request.kill_child()
    _let_others(request)


def _let_others(request: RecordedRequest) -> None:
    """Let another worker claim a task, and others of its limits run."""
    release_lease(request.id, request.owner)
    request.leave_limits()
