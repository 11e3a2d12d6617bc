"""Which changed files mean other code."""

from __future__ import annotations

from pathlib import Path

import pytest
from watchfiles import Change

from celeriac.cli.project_files import files_of
from celeriac.local.watching import VARIABLES, ProjectFiles

FOLDER = Path("/home/ada/.work/shop")


@pytest.mark.parametrize(
    ("path", "counts"),
    [
        ("tasks/greet.py", True),
        ("tasks/templates/email/welcome/body.html", True),
        ("api/app.py", True),
        ("ledger.py", True),
        ("pyproject.toml", True),
        (".env", True),
        ("tasks/.env", False),
        ("tests/test_greet.py", False),
        ("infra/cdk/app.py", False),
        ("README.md", False),
        ("tasks/__pycache__/greet.cpython-313.pyc", False),
        ("tasks/.greet.py.swp", False),
        ("tasks/greet.py~", False),
        (".local/env", False),
        (".venv/lib/python3.13/site-packages/x.py", False),
        (".git/index", False),
        ("../elsewhere.py", False),
    ],
)
def test_code_and_templates_count(path: str, counts: bool) -> None:
    """The project's loaded code and its ``.env`` count; tests, caches and hidden folders don't."""
    files = ProjectFiles(FOLDER, roots={"tasks", "api"})

    assert files(Change.modified, str((FOLDER / path).parent.resolve() / Path(path).name)) is counts


def test_git_ignores_the_variables_of_this_machine() -> None:
    """A new project's ``.env``, which may hold a password, is in no commit."""
    ignored = files_of("shop", [])[".gitignore"].decode().splitlines()

    assert VARIABLES in ignored
