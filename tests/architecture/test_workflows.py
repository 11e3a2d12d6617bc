"""What GitHub Actions runs."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
MAKEFILES = [ROOT / "Makefile", *ROOT.glob("*/*.mk")]

workflows = pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)


@workflows
def test_actions_are_pinned_by_commit(workflow: Path) -> None:
    """A tag can be moved, and would bring other people's code to where AWS's credentials are."""
    used = re.findall(r"uses: (.*)", workflow.read_text())

    assert used
    for each in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each), each


@workflows
def test_every_command_is_one_of_the_repositorys(workflow: Path) -> None:
    """A workflow runs what a developer can run: targets of make, or what is in .ci/."""
    targets = set()
    for makefile in MAKEFILES:
        targets |= set(re.findall(r"^([a-z][\w-]*):", makefile.read_text(), re.MULTILINE))

    for command in re.findall(r"run: (.*)", workflow.read_text()):
        name, *arguments = command.split()
        script = name.startswith(".ci/") and os.access(ROOT / name, os.X_OK)
        assert script or (name == "make" and arguments[0] in targets), command
