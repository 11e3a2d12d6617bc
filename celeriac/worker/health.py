"""Whether this worker works: ``python -m celeriac.worker.health``, the container's health check.

A pid says nothing: a worker may live and never poll again. The keeper writes down, once a second,
when a poll last ended and whether there was room for more. A poll that SQS doesn't answer ends too:
to replace all workers in the midst of an outage would make it worse.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Any

from celeriac.worker.options import WorkerOptions

if TYPE_CHECKING:
    from celeriac.transport import Channel

#: The keeper writes once a second; it may wait for AWS in between.
LONGEST_SILENCE = timedelta(seconds=60)
#: A long poll ends every 20 s, an unanswered one after 25.
LONGEST_WITHOUT_POLL = timedelta(seconds=90)


class Health:
    """Writes down the signs of life."""

    def write(self, channel: Channel, running: list[Any]) -> None:
        """Replace what was written last."""
        target = WorkerOptions().health_file
        signs = {
            "written_at": monotonic(),
            "polled_ago": monotonic() - channel.last_poll_at,
            "running": len(running),
            "room": channel.has_room,
        }
        unfinished = target.with_suffix(f".{os.getpid()}")
        unfinished.write_text(json.dumps(signs))
        unfinished.replace(target)


def fault(signs: dict[str, Any], now: float) -> str | None:
    """What is wrong, if anything is."""
    silent = now - signs["written_at"]
    if silent > LONGEST_SILENCE.total_seconds():
        return f"nothing was renewed for {silent:.0f} s"
    without_poll = signs["polled_ago"] + silent
    if signs["room"] and without_poll > LONGEST_WITHOUT_POLL.total_seconds():
        return f"no poll was tried for {without_poll:.0f} s"
    return None


def main() -> int:
    """Exit code 0 for a worker that works."""
    try:
        signs = json.loads(WorkerOptions().health_file.read_text())
    except (FileNotFoundError, ValueError) as error:
        sys.stderr.write(f"no worker has written its signs of life: {error}\n")
        return 1
    wrong = fault(signs, monotonic())
    if wrong is not None:
        sys.stderr.write(f"{wrong}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
