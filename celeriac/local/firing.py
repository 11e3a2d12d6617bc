"""Fires what is due in a process of its own, which imports the project as it is now.

The supervisor never imports the project: a change of a task file would pass it by.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

LONGEST = timedelta(seconds=60)


def fire_here(inputs: Sequence[str]) -> list[str | None]:
    """Fire events in this process; for each what went wrong, or None."""
    from celeriac.operations.firing import fire

    outcomes: list[str | None] = []
    for each in inputs:
        try:
            fire(json.loads(each))
        except Exception as error:  # noqa: BLE001 (as Lambda: whatever it is, it is tried again)
            outcomes.append(f"{type(error).__name__}: {error}")
        else:
            outcomes.append(None)
    return outcomes


def fire_in_child(inputs: Sequence[str]) -> list[str | None]:
    """Fire events in a new process; for each what went wrong, or None."""
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory, "report.json")
        command = [sys.executable, "-m", __name__, str(report)]
        try:
            done = subprocess.run(  # noqa: S603 (our own module)
                command,
                input=json.dumps(list(inputs)),
                capture_output=True,
                check=False,
                text=True,
                timeout=LONGEST.total_seconds(),
            )
        except subprocess.TimeoutExpired:
            why = f"importing the project takes over {LONGEST.seconds} s"
            return [why] * len(inputs)
        if not report.exists():
            last = (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]
            return [last] * len(inputs)
        outcomes: list[str | None] = json.loads(report.read_text())
        return outcomes


def main(report: str) -> None:
    """Import the project's app, fire the events of standard input, write down how each went."""
    from celeriac.app.factory import project_app

    project_app()
    Path(report).write_text(json.dumps(fire_here(json.load(sys.stdin))))


if __name__ == "__main__":
    main(*sys.argv[1:])
