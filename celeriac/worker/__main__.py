"""Run a worker of the project's app: ``python -m celeriac.worker``, or ``celeriac worker``.

``celeriac.worker.options`` has the variables that say which queues it consumes, and how many
tasks it runs side by side.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from celery.exceptions import ImproperlyConfigured, SecurityWarning
from celery.utils.nodenames import default_nodename
from pydantic import ValidationError

from celeriac.app.amqp import UnknownQueueError
from celeriac.app.factory import Celeriac, celery_app
from celeriac.app.logs import configure
from celeriac.contract import DeclarationError
from celeriac.contract.checking import check
from celeriac.project import Project, ProjectError, project
from celeriac.settings import PlaceholderError, explain
from celeriac.worker.options import WorkerOptionError, WorkerOptions

CHECK = "--check"
#: What is wrong with what the user wrote: one line says it all.
_FAULTS = (
    DeclarationError,
    ImproperlyConfigured,
    PlaceholderError,
    ProjectError,
    UnknownQueueError,
    ValidationError,
    WorkerOptionError,
)


def main(arguments: Sequence[str] = ()) -> int:
    """Run a worker until it is told to stop, or with ``--check`` test whether one would work.

    The exit code is 2 for wrong use or a wrong setting, and 1 for a check that failed.
    """
    if unknown := [each for each in arguments if each != CHECK]:
        sys.stderr.write(f"There is no option {unknown[0]}: only {CHECK}.\n")
        return 2
    try:
        app, queues, options = _prepared()
        worker = None if arguments else _worker(app, queues, options)
    except _FAULTS as fault:
        text = explain(fault) if isinstance(fault, ValidationError) else str(fault)
        sys.stderr.write(f"{text}\n")
        return 2
    except Exception:
        # A task file that can't be imported: the check says where, without our own frames.
        mistakes = [each for each in check(project()) if not each.warning]
        if not mistakes:
            raise
        sys.stderr.writelines(f"{each}\n" for each in mistakes)
        return 2
    if worker is None:
        # The rest of a worker isn't needed, and what is here is loaded by it alone.
        from celeriac.worker.check import check as check_calls

        return check_calls(app, queues)
    worker.start()
    return int(worker.exitcode or 0)


def project_app() -> Celeriac:
    """The app that the project names, or one of its settings and task types if it has none.

    Raises:
        WorkerOptionError: what the project names is no Celeriac app.
    """
    target = project().app
    module, _, attribute = target.partition(":")
    if target == Project.app and not _exists(module):
        return celery_app()
    if not _exists(module):
        raise WorkerOptionError(
            f"The app {target!r} has no module {module!r} here. "
            "Correct CELERIAC_APP, or app in pyproject.toml's [tool.celeriac]."
        )
    found = getattr(import_module(module), attribute, None)
    if not isinstance(found, Celeriac):
        raise WorkerOptionError(
            f"{target!r} is no Celeriac app. Write {attribute} = Celeriac({module!r}) there, "
            "in place of Celery(...)."
        )
    return found


def _exists(module: str) -> bool:
    package, _, _ = module.rpartition(".")
    return (not package or find_spec(package) is not None) and find_spec(module) is not None


def _prepared() -> tuple[Celeriac, list[str], WorkerOptions]:
    # A console script doesn't look for modules in the project's directory by itself.
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    app = project_app()
    options = WorkerOptions()
    queues = options.queue_names(app.catalogue.queues)
    configure(app.settings.log_level)
    return app, queues, options


def _worker(app: Celeriac, queues: list[str], options: WorkerOptions) -> Any:
    # Celery warns of root since pickle would let a message run code; messages here are JSON.
    warnings.simplefilter("ignore", SecurityWarning)
    return app.Worker(
        hostname=default_nodename(f"worker-{os.getpid()}"),
        pool_cls="prefork",
        concurrency=options.concurrency,
        queues=queues,
        loglevel=app.settings.log_level,
        quiet=True,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
