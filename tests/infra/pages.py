"""A page's CDK code, synthesized in a project that has the page's files and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.architecture.pages import ROOT, code_blocks
from tests.infra.conftest import context

LOCKS = {"locks/api.txt": "celeriac==0.1.0\n", "locks/worker.txt": "celeriac==0.1.0\n"}
ROOMS = {"tasks/__init__.py": "", "infra/__init__.py": ""}


def write_project(folder: Path, page: Path) -> Path:
    """Write the files that a page shows, and the rooms and locks that every project has."""
    shown = {each.path: each.text for each in code_blocks("python", page) if each.path}
    for name, text in (LOCKS | ROOMS | shown).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    shutil.copytree(ROOT / "worker", folder / "worker", ignore=shutil.ignore_patterns("__py*"))
    (folder / "library").mkdir()
    (folder / "library/celeriac").symlink_to(ROOT / "celeriac")
    return folder


def synthesize(project: Path, program: str) -> dict[str, dict[str, Any]]:
    """The templates that a program writes, by the names of their stacks.

    It runs in a process of its own: this one has other packages of the same names.
    """
    out = project / "cdk.out"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=project,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join((str(project), str(project / "library"))),
            "CDK_OUTDIR": str(out),
            "CDK_CONTEXT_JSON": json.dumps(context()),
            "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "1",
        },
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return {
        path.name.partition(".")[0]: json.loads(path.read_text())
        for path in out.glob("*.template.json")
    }
