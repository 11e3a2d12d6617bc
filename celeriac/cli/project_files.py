"""The files of a new project: this repository's own rooms, and a few that only a project has.

The wheel holds the rooms as data, in ``template/`` next to this module; a checkout has them at its
top. Nothing is written twice.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import celeriac

TEMPLATE = Path(__file__).parent / "template"

#: The built-in task types that a project can own a copy of: their files in ``tasks/``.
BUILT_IN = {
    "files": ("process_file.py", "files", "shared"),
    "reports": ("generate_report.py", "reports", "shared"),
    "mail": ("send_email.py", "mail", "templates"),
}

#: What each project has.
_ROOMS = (
    "api",
    "worker",
    "tasks/__init__.py",
    "tasks/queues.py",
    "tasks/cleanup.py",
    "tasks/long_running.py",
    "infra/__init__.py",
    "infra/outputs.py",
    "infra/region.py",
    "infra/teardown.py",
    "infra/cdk",
    ".npmrc",
    "cdk.json",
    "package.json",
    "package-lock.json",
    "docs/runbook.md",
)

_QUEUES = "tasks/queues.py"
_ENVIRONMENTS = "infra/cdk/environments.py"
_RUNBOOK = "docs/runbook.md"
#: The most of a project's name that resources' names take: see celeriac/cdk/environment.py.
_LONGEST_PREFIX = 18


def files_of(project: str, built_in: Iterable[str]) -> dict[str, bytes]:
    """Each file of a new project, by its path in the project's folder.

    Args:
        project: the project's name.
        built_in: keys of ``BUILT_IN``.
    """
    wanted = [*_ROOMS, *(f"tasks/{name}" for each in built_in for name in BUILT_IN[each])]
    files = dict(_rooms(dict.fromkeys(wanted)))
    for path in ("package.json", "package-lock.json"):
        files[path] = files[path].replace(b"celeriac-deployment", f"{project}-deployment".encode())
    files[_QUEUES] = _without_unused_queues(files)
    prefix = project.replace("_", "-")[:_LONGEST_PREFIX].rstrip("-")
    files[_ENVIRONMENTS] = files[_ENVIRONMENTS].replace(
        b'PROJECT = "celeriac"', f'PROJECT = "{prefix}"'.encode()
    )
    # The pages that it links to stay in this repository.
    files[_RUNBOOK] = re.sub(rb"\[([^]]+)\]\([^#):][^):]*\)", rb"\1", files[_RUNBOOK])
    words = {
        "PROJECT": project,
        "0.0.0": celeriac_version(),
        "WORKER": ",".join(["worker", *built_in]),
    }
    return files | dict(_own(words))


def celeriac_version() -> str:
    """The version of the library; of its ``pyproject.toml`` in a checkout."""
    try:
        return version("celeriac")
    except PackageNotFoundError:
        text = (_checkout() / "pyproject.toml").read_text("utf-8")
        found = re.search(r'^version = "(.+)"$', text, re.MULTILINE)
        return found[1] if found else "0"


def _checkout() -> Path:
    return Path(celeriac.__file__).resolve().parents[1]


def _rooms(wanted: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    source = TEMPLATE if (TEMPLATE / "api").is_dir() else _checkout()
    for each in wanted:
        path = source / each
        found = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in found:
            if file.is_file() and "__pycache__" not in file.parts:
                yield file.relative_to(source).as_posix(), file.read_bytes()


def _own(words: dict[str, str]) -> Iterator[tuple[str, bytes]]:
    names = ("Makefile", "README.md", "pyproject.toml", "gitignore", "tests/test_project.py")
    for name in (*names, "tests/test_long_running.py"):
        text = (TEMPLATE / name).read_text("utf-8")
        for word, value in words.items():
            text = text.replace(word, value)
        yield name.replace("gitignore", ".gitignore"), text.encode()


def _without_unused_queues(files: dict[str, bytes]) -> bytes:
    """``queues.py`` without the queues that no copied file names."""
    text = files[_QUEUES].decode()
    others = "\n".join(
        content.decode()
        for path, content in files.items()
        if path.endswith(".py") and path != _QUEUES
    )
    lines = text.splitlines(keepends=True)
    for node in reversed(ast.parse(text).body):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)]):
                if not re.search(rf"\b{name}\b", others):
                    del lines[node.lineno - 1 : node.end_lineno]
    return "".join(lines).encode()
