"""What GitHub Actions runs."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
MAKEFILES = [ROOT / "Makefile", *ROOT.glob("*/*.mk")]

CI = ROOT / ".github" / "workflows" / "ci.yml"
DEPLOY = ROOT / ".github" / "workflows" / "deploy.yml"

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


def loaded(workflow: Path) -> dict[str, Any]:
    """A workflow. YAML 1.1 reads its key ``on`` as true; here it is ``on`` again."""
    found = yaml.safe_load(workflow.read_text())
    return {"on" if name is True else name: value for name, value in found.items()}


def test_dev_is_deployed_only_after_ci_has_passed() -> None:
    """Deploying waits for CI's run of a push to main, and takes the commit that it has tested."""
    deploy = loaded(DEPLOY)
    [job] = deploy["jobs"].values()

    assert set(deploy["on"]) == {"workflow_run", "workflow_dispatch"}
    assert deploy["on"]["workflow_run"] == {
        "workflows": [loaded(CI)["name"]],
        "types": ["completed"],
        "branches": ["main"],
    }
    assert "main" in loaded(CI)["on"]["push"]["branches"]
    by_hand, _, after_ci = job["if"].partition(" || ")
    assert by_hand == "github.event_name == 'workflow_dispatch'"
    assert set(after_ci.strip("()").split(" && ")) == {
        "github.event.workflow_run.conclusion == 'success'",
        "github.event.workflow_run.event == 'push'",
    }
    checkout = job["steps"][0]
    assert checkout["with"]["ref"] == "${{ github.event.workflow_run.head_sha || github.sha }}"


def test_deploying_has_no_stored_key_and_may_write_nothing() -> None:
    """The job may read the code and ask for a token of its own; its AWS role takes that token."""
    deploy = loaded(DEPLOY)
    [job] = deploy["jobs"].values()

    assert deploy["permissions"] == {"contents": "read", "id-token": "write"}
    assert "permissions" not in job
    assert "secrets." not in DEPLOY.read_text()
    assert loaded(CI)["permissions"] == {"contents": "read"}
