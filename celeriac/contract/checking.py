"""Find the mistakes in a project's task files: all of them, each with its file, line and fix.

    for fault in check(project()):
        print(fault)      # tasks/count_words.py:12: queue='email' is not a Queue. Write ...

The task modules are imported one by one, in a process of its own. So the check sees each file as
it is now, and measures imports that this process may have made already. Code that exits or crashes
while it is imported ends that process only.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path

from celeriac.contract.places import Place
from celeriac.project import Project

#: The longest that importing all task modules may take.
TIMEOUT = timedelta(minutes=1)
#: How much longer the process may take that imports them. It says which line takes so long, unless
#: that line is a call that no signal interrupts.
GRACE = timedelta(seconds=5)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One mistake. ``fault`` and ``fix`` are sentences without their full stop.

    A ``warning`` costs time or may surprise; anything else keeps the project from running.
    ``file`` and ``line`` are unknown (None) for what no single line causes.
    """

    fault: str
    fix: str
    file: str | None = None
    line: int | None = None
    warning: bool = False

    def __str__(self) -> str:
        text = f"{self.fault}. {self.fix}."
        if self.warning:
            text = f"warning: {text}"
        if self.file is None:
            return text
        return f"{Place(self.file, self.line or 1)}: {text}"


def check(project: Project, *, timeout: timedelta = TIMEOUT) -> list[Fault]:
    """Import a project's task modules in another process, and return all mistakes found there.

    They are sorted by file and line. What the modules print goes to this process's stderr.
    """
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory, "faults.json")
        seconds = f"{timeout.total_seconds():g}"
        command = [sys.executable, "-m", "celeriac.contract.inspection", str(report), seconds]
        found = {"tasks": project.tasks, "origins": dict(project.origins)}
        try:
            done = subprocess.run(  # noqa: S603 - this Python, and a module of ours
                [*command, json.dumps(found)],
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr if _has_descriptor(sys.stderr) else None,
                env=os.environ | {"PYTHONPATH": _search_path()},
                timeout=(timeout + GRACE).total_seconds(),
            )
        except subprocess.TimeoutExpired:
            fault = f"importing this file takes more than {seconds} seconds"
            return [
                Fault(
                    fault=fault,
                    fix="Move what waits or computes into the task's function",
                    file=_last_entered(report, project),
                )
            ]
        try:
            faults = [Fault(**each) for each in json.loads(report.read_text())]
        except FileNotFoundError:
            fault = f"importing this file ended the process (exit code {done.returncode})"
            return [
                Fault(
                    fault=fault,
                    fix="Remove what exits or crashes at the module's top level",
                    file=_last_entered(report, project),
                )
            ]
    return sorted(faults, key=lambda each: (each.file or "", each.line or 0, each.fault))


def current_file(report: Path) -> Path:
    """Where the other process writes which file it is importing."""
    return report.with_name(f"{report.name}.at")


def _last_entered(report: Path, project: Project) -> str:
    try:
        return current_file(report).read_text()
    except FileNotFoundError:
        return project.tasks[0]


def to_json(faults: list[Fault]) -> str:
    """The faults as the other process reports them."""
    return json.dumps([asdict(each) for each in faults])


def _search_path() -> str:
    """``sys.path`` for the other process: it finds the modules that this one finds."""
    return os.pathsep.join(each or str(Path.cwd()) for each in sys.path)


def _has_descriptor(stream: object) -> bool:
    try:
        stream.fileno()  # type: ignore[attr-defined]
    except (AttributeError, OSError):
        return False
    return True
