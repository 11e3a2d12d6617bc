"""The command lines, run in a repository that has just been set up."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.parametrize(
    ("here", "taken"),
    [
        (["docker"], "docker"),
        (["podman"], "podman"),
        (["buildah"], "buildah"),
        (["buildah", "podman", "finch"], "finch"),
    ],
)
def test_the_image_is_built_by_the_first_builder_that_is_there(
    tmp_path: Path, here: list[str], taken: str
) -> None:
    """One of the builders on the PATH is used, in whatever shell make finds."""
    for name in here:
        (tmp_path / name).touch(0o755)
    make = shutil.which("make")
    assert make

    shown = subprocess.run(
        [make, "--dry-run", "image"],
        cwd=ROOT,
        env={"PATH": str(tmp_path)},
        check=True,
        capture_output=True,
        text=True,
    )

    assert shown.stdout.splitlines()[-1].startswith(f"{tmp_path / taken} build ")
