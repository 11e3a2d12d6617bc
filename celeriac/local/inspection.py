"""What a project consists of, and its mistakes, found in a process of its own.

The supervisor never imports the project. A new process imports a changed file again, and code that
crashes or hangs on import harms nothing else.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celeriac.contract.checking import Fault, check
from celeriac.local.samples import sample_request
from celeriac.project import Project, ProjectError, project, read

if TYPE_CHECKING:
    from celeriac.app.declared_schedule import DeclaredSchedule
    from celeriac.app.factory import Celeriac

#: A project without an API of its own is served by this one.
PLAIN_API = "celeriac.http.app:create_app"
LONGEST = timedelta(seconds=60)


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """``api`` is the ASGI app to serve: ``module:attribute``.

    ``sample`` is a request that a reader can send: the path, and the payload as JSON. ``roots`` are
    the top-level names, in the project's folder, of the code that it loads.
    """

    faults: tuple[Fault, ...] = ()
    api: str = PLAIN_API
    sample: tuple[str, str] | None = None
    roots: frozenset[str] = frozenset()

    @property
    def fatal(self) -> bool:
        """Whether the project can't run."""
        return any(not fault.warning for fault in self.faults)

    @property
    def plain(self) -> bool:
        """Whether ``api`` is a function that makes the app."""
        return self.api == PLAIN_API


def inspect(*, provision: bool = False, longest: timedelta = LONGEST) -> Inspection:
    """Check the task files, and import the project of the current folder in a child process.

    Args:
        provision: also create the queues, table and bucket that it needs.
        longest: how long imports may take. A file that takes longer is a fault.
    """
    try:
        described = read(Path.cwd(), os.environ)
    except ProjectError as error:
        fault, _, fix = str(error).removesuffix(".").partition(". ")
        return Inspection(faults=(Fault(fault=fault, fix=fix),))
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory, "report.json")
        command = [sys.executable, "-m", __name__, str(report)]
        # Both at the same time: the check imports no app, and says more about task files.
        child = subprocess.Popen(  # noqa: S603 (our own module)
            [*command, *(["--provision"] if provision else [])],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            faults = check(described, timeout=longest)
            if any(not fault.warning for fault in faults):
                return Inspection(faults=tuple(faults))
            child.wait(longest.total_seconds())
            return _read(report, faults)
        except subprocess.TimeoutExpired:
            seconds = longest.total_seconds()
            fault = f"importing {described.app} and {described.api} takes over {seconds:.0f} s"
            return _failed(fault, "Move what takes long into the functions that need it")
        except FileNotFoundError:
            fault = f"importing {described.app} or {described.api} ended the process"
            return _failed(fault, "Remove what exits or crashes at a module's top level")
        finally:
            child.kill()
            child.wait()


def _read(report: Path, faults: list[Fault]) -> Inspection:
    found: dict[str, Any] = json.loads(report.read_text())
    if not found["tasks"]:
        # Then the check has warned that there are no tasks. Here it ends the matter.
        faults = [replace(fault, warning=False) for fault in faults]
    return Inspection(
        faults=(*faults, *(Fault(**each) for each in found["faults"])),
        api=found["api"],
        sample=tuple(found["sample"]) if found["sample"] else None,
        roots=frozenset(found["roots"]),
    )


def _failed(fault: str, fix: str) -> Inspection:
    return Inspection(faults=(Fault(fault=fault, fix=fix),))


def main(report: str, *options: str) -> None:
    """Import the project in this process, and write the findings to a file."""
    from celeriac.app import beat
    from celeriac.app.factory import celery_app, project_app

    # Ends the process, should the one that waits for it be killed.
    signal.alarm(round(2 * LONGEST.total_seconds()))
    faults = [*_import("app", Project.app), *_import("api", Project.api)]
    api, sample = PLAIN_API, None
    scheduled: list[DeclaredSchedule] = []
    if not faults:
        try:
            scheduled = beat.entries(project_app())
        except beat.BeatScheduleError as error:
            fault, _, fix = str(error).removesuffix(".").partition(". ")
            faults.append(Fault(fault=fault, fix=fix))
    if not faults:
        if project().api.partition(":")[0] in sys.modules:
            api = project().api
        module, _, attribute = api.partition(":")
        sample = sample_request(sys.modules.get(module), attribute)
        if "--provision" in options:
            _provision(scheduled)
    found = {
        "faults": [asdict(fault) for fault in faults],
        "api": api,
        "sample": sample,
        "roots": sorted(set(_roots())),
        # Without an app to import, it doesn't matter.
        "tasks": bool(faults or _has_tasks(celery_app())),
    }
    Path(report).write_text(json.dumps(found))


def _import(option: str, default: str) -> Iterator[Fault]:
    """Import the app that this option names. The default may be missing."""
    target: str = getattr(project(), option)
    module, _, attribute = target.partition(":")
    try:
        found = find_spec(module)
    except ModuleNotFoundError:
        found = None
    if found is None:
        if target != default:
            origin = project().origins.get(option, "")
            yield Fault(
                fault=f"{origin}: there is no module {module!r}, which {target!r} names",
                fix="Correct the name, or write the module",
            )
        return
    try:
        imported = import_module(module)
    except (Exception, SystemExit) as error:  # noqa: BLE001 (any mistake of the project's)
        yield _fault_of(error, module)
        return
    if not hasattr(imported, attribute):
        yield Fault(
            file=imported.__file__,
            line=1,
            fault=f"this module has no {attribute!r}, which {option} = {target!r} names",
            fix="Define it, or correct the name",
        )


def _fault_of(error: BaseException, module: str) -> Fault:
    """The mistake behind this error: its innermost line in a file of the project."""
    said = error.msg if isinstance(error, SyntaxError) else str(error)
    message = " ".join(said.split()).removesuffix(".")
    places = [(each.filename, each.lineno) for each in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename:
        places.append((error.filename, error.lineno))
    own = [(file, line) for file, line in places if _inside(file)]
    file, line = own[-1] if own else (None, None)
    return Fault(
        file=file,
        line=line,
        fault=f"importing {module} raises {type(error).__name__}: {message}",
        fix="Correct this line",
    )


def _has_tasks(app: Celeriac) -> bool:
    """Whether the project has a task of its own, typed or plain."""
    return any(not name.startswith("celery.") for name in app.tasks)


def _provision(scheduled: list[DeclaredSchedule]) -> None:
    from celeriac.app import beat
    from celeriac.app.factory import celery_app
    from celeriac.local.provision import provision, repair_hourly

    # The project's own app, which has been imported, may have queues that no task file names.
    app = celery_app()
    if app.settings.beat_file is not None:
        beat.write(scheduled, app.settings.beat_file)
    provision(app.settings, app.catalogue, beat=scheduled)
    repair_hourly(app.settings)


def _roots() -> Iterator[str]:
    for module in list(sys.modules.values()):
        inside = _inside(getattr(module, "__file__", None))
        if inside:
            yield inside.parts[0]


def _inside(file: str | None) -> Path | None:
    """The path in the project's folder, unless it is in an environment there, or elsewhere."""
    if file is None or not Path(file).is_relative_to(Path.cwd()):
        return None
    path = Path(file).relative_to(Path.cwd())
    hidden = any(part.startswith(".") or part == "site-packages" for part in path.parts)
    return None if hidden else path


if __name__ == "__main__":
    main(*sys.argv[1:])
