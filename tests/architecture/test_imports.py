"""Imports don't read the environment: apps and settings are made when they are asked for."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[2]

#: Whose purpose is to be an app, for a program that wants to be pointed at one.
APPS = frozenset(
    {
        "api.app",
        "api.handler",
        "celeriac.http.handler",
        "celeriac.operations.fire_function",
        "worker.app",
    }
)


def import_everything() -> None:
    """Import each module of the rooms that run in AWS; run in a process of its own."""
    names = [
        each.name
        for room in ("api", "celeriac", "tasks", "worker")
        for each in pkgutil.walk_packages(import_module(room).__path__, f"{room}.")
    ]
    for name in names:
        if name not in APPS:
            import_module(name)
    from celery._state import _get_active_apps

    from celeriac.settings import settings

    assert not list(_get_active_apps()), "imports have made an app"
    assert not settings.cache_info().currsize, "imports have read the settings"


def test_importing_makes_no_app_and_reads_no_settings() -> None:
    """A process that sets its environment after the imports gets the app of that environment."""
    code = "from tests.architecture.test_imports import import_everything; import_everything()"
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
