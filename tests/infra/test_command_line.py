"""The pinned command line, as someone runs it who has just set the repository up."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from infra.cdk.environments import DEV
from tests.infra.conftest import ROOT, STACKS


def test_it_finds_the_app_without_an_active_environment(tmp_path: Path) -> None:
    """With no environment on the PATH, the app runs in the one that make has made."""
    (tmp_path / "cdk.json").symlink_to(ROOT / "cdk.json")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    here = str(Path(sys.executable).parent)
    path = os.pathsep.join(each for each in os.environ["PATH"].split(os.pathsep) if each != here)
    variables = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}

    done = subprocess.run(
        [ROOT / "node_modules/.bin/cdk", "list"],
        cwd=tmp_path,
        env={**variables, "PATH": path, "PYTHONPATH": str(ROOT)},
        check=False,
        capture_output=True,
        text=True,
    )

    stacks = {f"{DEV.prefix}-{each}" for each in STACKS}
    assert set(done.stdout.split()) == stacks, done.stderr[-3000:]
