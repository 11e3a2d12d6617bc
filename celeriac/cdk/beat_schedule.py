"""The entries of a project's ``beat_schedule``, read from its Celery app in another process.

The project may be in another folder than the CDK app's, with packages of the same names.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from celeriac.app import beat
from celeriac.app.declared_schedule import DeclaredSchedule

#: What source that gives Celery periodic tasks contains, in any case: ``CELERY_BEAT_SCHEDULE`` is a
#: setting of ``config_from_object(…, namespace="CELERY")``.
_DECLARES = (b"beat_schedule", b"periodic_task")
_NOT_ITS_OWN = frozenset({"build", "cdk.out", "dist", "node_modules", "site-packages"})


class BeatUnreadableError(ValueError):
    """The project's ``beat_schedule`` can't be read. The message says why."""


@cache
def beat_schedule(root: Path) -> tuple[DeclaredSchedule, ...]:
    """What the project in a folder gives Celery's beat. Read once for each process.

    The app is imported only if a file of the project mentions periodic tasks.

    Raises:
        BeatUnreadableError: the app can't be imported, or an entry can't be kept exactly.
    """
    if not any(_declares(each) for each in _sources(root)):
        return ()
    with tempfile.TemporaryDirectory() as directory:
        found = Path(directory, "beat.json")
        done = subprocess.run(  # noqa: S603 (our own module)
            [sys.executable, "-m", beat.__name__, str(found)],
            cwd=root,
            # The project's own packages come first: python -m begins with its folder.
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            check=False,
            text=True,
        )
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]
            raise BeatUnreadableError(
                f"The beat_schedule of {root} can't be read: {last.rstrip('.')}. The Celery app is "
                "imported for it, without the deployment's variables."
            )
        return tuple(beat.read(found))


def _declares(file: Path) -> bool:
    # A link may lead nowhere.
    source = file.read_bytes().lower() if file.is_file() else b""
    return any(each in source for each in _DECLARES)


def _sources(root: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        folders[:] = [
            each for each in folders if not each.startswith(".") and each not in _NOT_ITS_OWN
        ]
        yield from (Path(folder, each) for each in files if each.endswith(".py"))
