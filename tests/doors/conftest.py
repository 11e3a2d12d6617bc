"""The wheel as a user gets it: built once, and installed into fresh environments."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UV = (sys.executable, "-m", "uv")

#: Makes a fresh environment with these extras of the wheel; the path of its Python.
MakeEnvironment = Callable[..., Path]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    directory = tmp_path_factory.mktemp("wheel")
    _run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory))
    [built] = directory.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> MakeEnvironment:
    """``environment("api", "worker")`` installs the wheel with these extras, and nothing else.

    Versions are those of ``locks/all.txt``, so that a new release breaks no test.
    """
    made: dict[tuple[str, ...], Path] = {}

    def make(*extras: str) -> Path:
        key = tuple(sorted(extras))
        if key not in made:
            directory = tmp_path_factory.mktemp("environment") / "venv"
            _run(*UV, "venv", "--quiet", "--python", sys.executable, str(directory))
            python = directory / "bin" / "python"
            wanted = f"celeriac[{','.join(key)}]" if key else "celeriac"
            _run(
                *(*UV, "pip", "install", "--quiet", "--python", str(python)),
                *("--constraint", str(ROOT / "locks" / "all.txt")),
                f"{wanted} @ {wheel.as_uri()}",
            )
            made[key] = python
        return made[key]

    return make


def _run(*command: str) -> None:
    # Neither this checkout nor its environment may reach what is installed.
    clean = {
        name: value
        for name, value in os.environ.items()
        if name not in {"PYTHONPATH", "VIRTUAL_ENV"}
    }
    done = subprocess.run(
        command, cwd=ROOT, env=clean, check=False, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}{done.stderr}"
