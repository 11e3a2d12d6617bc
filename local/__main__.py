"""``python -m local``: the whole stack; ``python -m local worker``: one more worker for it."""

from __future__ import annotations

import argparse
import sys

from local.stack import NoStackError, PortError, add_worker, run
from local.supervisor import Interrupted, NotReady, ProgramEnded
from local.terminal import Terminal


def main() -> int:
    """Run; an error is one line and exit code 1."""
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    parser.add_argument("what", nargs="?", choices=["run", "worker"], default="run")
    arguments = parser.parse_args()
    terminal = Terminal()
    try:
        if arguments.what == "worker":
            add_worker()
        run(terminal)
    except Interrupted:
        # The way to end it, so no failure: make would call it one.
        terminal.say("", "Everything has ended.")
        return 0
    except (NoStackError, NotReady, PortError, ProgramEnded) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
