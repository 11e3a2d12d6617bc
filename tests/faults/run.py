"""Runs a worker as ``python -m celeriac.worker`` does, with the tasks of the fault tests."""

from __future__ import annotations

import signal
import sys
from typing import Any

from celery.signals import worker_ready

from celeriac.worker.__main__ import main
from tests.faults import app  # noqa: F401 - registers the tasks
from tests.faults.stack import LOSE_CONNECTION


@worker_ready.connect
def expect_the_signal(sender: Any, **_: Any) -> None:
    """Not before the worker is ready: Celery sets handlers of its own."""
    signal.signal(LOSE_CONNECTION, lambda *_: sender.hub.call_soon(lose_connection))


def lose_connection() -> None:
    raise ConnectionResetError("as the test asked for")


if __name__ == "__main__":
    sys.exit(main())
