"""``python -m celeriac.worker`` in a folder: which app it runs, and what it says if it can't."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import _state

from celeriac.app import factory
from celeriac.project import project
from celeriac.worker.__main__ import project_app

ROOT = Path(__file__).parents[3]


def start(directory: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Start a worker in this folder that is expected to end at once."""
    clean = {name: each for name, each in os.environ.items() if not name.startswith("CELERIAC_")}
    return subprocess.run(
        [sys.executable, "-m", "celeriac.worker"],
        cwd=directory,
        env=clean | {"PYTHONPATH": str(ROOT)} | variables,
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project without a task package, whose app is in ``shop``."""
    (tmp_path / "shop.py").write_text(
        "from celery import Celery\nfrom celeriac import Celeriac\n"
        "app = Celeriac('shop')\nold = Celery('shop')\n"
    )
    return tmp_path


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"CELERIAC_APP": "shop:old"}, "'shop:old' is no Celeriac app. Write old = Celeriac("),
        ({"CELERIAC_APP": "shop:none"}, "'shop:none' is no Celeriac app"),
        ({"CELERIAC_APP": "away.app:app"}, "has no module 'away.app' here. Correct CELERIAC_APP"),
        ({"CELERIAC_APP": "shop"}, "names no app"),
        ({"CELERIAC_QUEUES": "default,audio"}, "there is no queue 'audio'"),
        ({"CELERIAC_CONCURRENCY": "none"}, "CELERIAC_CONCURRENCY"),
        ({"CELERIAC_CONCURRENCY": "0"}, "CELERIAC_CONCURRENCY"),
        ({"CELERIAC_VISIBILITY": "soon"}, "CELERIAC_VISIBILITY"),
        ({"CELERIAC_ENVIRONMENT": "prod"}, "CELERIAC_MAIL_FROM"),
    ],
)
def test_a_wrong_setting_is_one_line(
    folder: Path, variables: dict[str, str], sentence: str
) -> None:
    """It names the variable and the fault. The exit code is 2."""
    done = start(folder, **{"CELERIAC_APP": "shop:app"} | variables)

    assert done.returncode == 2, done.stderr
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.fixture
def no_app() -> Iterator[None]:
    """A process that has made no app yet."""
    before = _state._get_current_app()
    project.cache_clear()
    factory.forget()
    yield
    factory.forget()
    _state._set_current_app(before)


def test_without_an_app_of_its_own_a_project_has_ours(
    no_app: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder with task files alone needs no ``worker/app.py``."""
    monkeypatch.setattr("celeriac.worker.__main__.find_spec", lambda _: None)

    assert project_app() is factory.celery_app()
