"""Serve in the foreground: ``python -m celeriac.local.standin --port 5056 --latency 0.010``."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import signal
import sys
import threading

from celeriac.local.standin.server import Server


def _end_with_stdin() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m celeriac.local.standin", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument("--latency", type=float, default=0, help="seconds before each call")
    parser.add_argument("--until-stdin-ends", action="store_true", help="end with the parent")
    arguments = parser.parse_args()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: os._exit(0))
    if arguments.until_stdin_ends:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    # What lives here lives long: looking for garbage often costs more than it frees.
    gc.set_threshold(100_000, 50, 50)
    asyncio.run(Server(arguments.latency).serve(arguments.port))


if __name__ == "__main__":
    main()
