"""An AWS that outlives `celeriac dev`, so that records do: it runs until its file is removed.

moto keeps everything in memory, so records live as long as this process, and no longer than the
machine is up.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from celeriac.local.aws import HOST
from celeriac.local.probe import aws_answers


class KeptAws:
    """The AWS of one folder's records. ``file`` holds its URL, and its process ends without it."""

    def __init__(self, state: Path) -> None:
        self.file = state / "aws"
        self.log = state / "aws.log"

    @property
    def port(self) -> int | None:
        """The port it answers on; None if none is running."""
        try:
            endpoint = self.file.read_text().strip()
        except FileNotFoundError:
            return None
        return int(endpoint.rpartition(":")[2]) if aws_answers(endpoint) else None

    def start(self, port: int) -> None:
        """Start it. It needs some seconds until it answers."""
        self.file.write_text(f"http://{HOST}:{port}\n")
        with self.log.open("w") as log:
            subprocess.Popen(  # noqa: S603 (our own module)
                [
                    *(sys.executable, "-m", "celeriac.local.aws"),
                    *("--port", str(port), "--while-exists", str(self.file)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def stop(self) -> bool:
        """End it, with all its records. Returns whether it was running."""
        running = self.port is not None
        self.file.unlink(missing_ok=True)
        return running
