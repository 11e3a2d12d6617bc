"""Adding one task type is adding one file: all tests stay green, and nothing else is needed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from docs.built_in import BUILT_IN
from tests.architecture.pages import ROOT, code_blocks

#: What isn't the repository's: environments, caches, and what runs leave.
NOT_COPIED = shutil.ignore_patterns(
    ".git", ".venv", "node_modules", "build", "cdk.out", ".local", ".*_cache", "__pycache__"
)
HERE = "tests/architecture/test_readmes_file.py"
FIFTEEN_MINUTES = 900


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository with README's task file, saved as the README says."""
    copy = tmp_path_factory.mktemp("repository") / "celeriac"
    shutil.copytree(ROOT, copy, ignore=NOT_COPIED)
    (block,) = (each for each in code_blocks("python", ROOT / "README.md") if each.path)
    (copy / str(block.path)).write_text(block.text)
    return copy


def run(copy: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=copy,
        env={**kept, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"},
        check=False,
        capture_output=True,
        text=True,
        timeout=FIFTEEN_MINUTES,
    )


@pytest.mark.timeout(FIFTEEN_MINUTES)
def test_the_tests_stay_green(copy: Path) -> None:
    """Those of every task type, of the pages and of the OpenAPI document."""
    done = run(
        copy,
        *("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/catalogue", "tests/architecture"),
        f"--ignore={HERE}",
    )

    assert done.returncode == 0, done.stdout[-5000:]
    assert "count-words" in run(copy, "-c", "import celeriac; print(*celeriac.catalogue())").stdout


def test_the_rehearsal_collects_its_samples(copy: Path) -> None:
    """A type without an example is left out; the others are rehearsed as before."""
    done = run(
        copy,
        "-c",
        "from celeriac import catalogue\n"
        "from infra.rehearsal.samples import samples\n"
        "print(*samples(catalogue()))",
    )

    assert done.returncode == 0, done.stderr
    assert {*BUILT_IN} <= {*done.stdout.split()}
