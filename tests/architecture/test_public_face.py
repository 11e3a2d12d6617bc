"""The public face: complete, typed, lazy, and cheap to import."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import celeriac

ROOT = Path(__file__).parents[2]
TREE = ast.parse(Path(celeriac.__file__).read_text())

#: The most that ``import celeriac`` may add to starting Python.
BUDGET_SECONDS = 0.030

#: What the engine needs, and a task file doesn't.
ENGINE = ("boto3", "botocore", "celery", "fastapi", "kombu", "pydantic_settings", "tomllib")


def typed() -> Iterator[tuple[str, str]]:
    """Name and module of each import that type checkers see."""
    [block] = [
        each
        for each in TREE.body
        if isinstance(each, ast.If) and ast.unparse(each.test) == "TYPE_CHECKING"
    ]
    for each in block.body:
        assert isinstance(each, ast.ImportFrom), ast.unparse(each)
        assert each.module is not None
        for alias in each.names:
            yield alias.asname or alias.name, each.module


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=240,
    )
    return done.stdout


@pytest.mark.parametrize("name", celeriac.__all__)
def test_each_public_name_resolves(name: str) -> None:
    """What ``__all__`` promises is there, and is not a module by accident."""
    value = getattr(celeriac, name)

    assert value is not None
    assert not isinstance(value, type(sys))


def test_the_name_exists_once_in_each_list() -> None:
    """Users, type checkers and the lazy import see the same names, from the same modules."""
    homes = {name: home for home, names in celeriac._HOMES.items() for name in names}

    assert dict(typed()) == homes
    assert celeriac.__all__ == sorted(homes)
    assert len(celeriac.__all__) == sum(len(names) for names in celeriac._HOMES.values())


def test_no_public_name_is_that_of_a_module() -> None:
    """``from celeriac import settings`` is the module: importing that would hide a name."""
    modules = {each.stem for each in Path(celeriac.__file__).parent.iterdir()}

    assert not modules & set(celeriac.__all__)


def test_names_that_are_not_public_are_refused() -> None:
    """As any module refuses them; ``dir`` lists the public ones."""
    with pytest.raises(AttributeError, match="module 'celeriac' has no attribute 'Task'"):
        celeriac.Task  # type: ignore[attr-defined] # noqa: B018
    with pytest.raises(ImportError):
        importlib.import_module("celeriac.Task")

    assert dir(celeriac) == celeriac.__all__


def test_a_star_import_brings_the_public_names() -> None:
    """Nothing more: no helper of the module leaks."""
    names = json.loads(
        run(
            "from celeriac import *\nimport json\n"
            "print(json.dumps([n for n in dir() if n[0] != '_' and n != 'json']))"
        )
    )

    assert names == celeriac.__all__


def test_importing_it_loads_nothing_else() -> None:
    """No library, and no other module of Celeriac's, before a name is used."""
    code = (
        "import json, sys; before = set(sys.modules); import celeriac; "
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )

    loaded = json.loads(run(code))

    foreign = [name for name in loaded if name.partition(".")[0] not in sys.stdlib_module_names]
    assert foreign == ["celeriac"]


def test_a_task_file_loads_no_engine() -> None:
    """``task``, ``Queue``, models and errors bring pydantic, and nothing that talks to AWS."""
    names = ", ".join(celeriac._HOMES["celeriac.contract"])

    loaded = set(
        json.loads(
            run(
                f"from celeriac import {names}\nimport json, sys\nprint(json.dumps([*sys.modules]))"
            )
        )
    )

    assert not loaded & set(ENGINE)
    assert {name for name in loaded if name.startswith("celeriac.")} <= {
        "celeriac.project",
        "celeriac.contract",
        *(name for name in loaded if name.startswith("celeriac.contract.")),
    }
    assert not loaded & {
        "celeriac.contract.checking",
        "celeriac.contract.imports",
        "celeriac.contract.inspection",
    }


def test_importing_it_is_quick() -> None:
    """Under 30 ms beyond Python's own start: the least of several runs, taken in turns."""

    def took(code: str) -> float:
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=240)
        return time.perf_counter() - started

    runs = [(took("pass"), took("import celeriac")) for _ in range(10)]
    least = min(with_it for _, with_it in runs) - min(without for without, _ in runs)

    assert least < BUDGET_SECONDS


SNIPPET = """
from datetime import timedelta

from celeriac import BaseModel, Fleet, Queue, Retry, TaskContext, TaskType, submit, task

VIDEO = Queue("video", fleet=Fleet(cpu=1024, memory=2048))


class Text(BaseModel):
    text: str


class Words(BaseModel):
    total: int


@task
def bare(payload: Text, context: TaskContext) -> Words:
    return Words(total=len(payload.text))


@task()
def called(payload: Text, context: TaskContext) -> Words:
    return bare(payload, context)


@task(queue=VIDEO, time_limit=timedelta(minutes=1), retry=Retry(attempts=2), name="full")
def full(payload: Text, context: TaskContext) -> Words:
    context.progress(1, 1)
    return called(payload, context)


first: TaskType[Text, Words] = bare
second: TaskType[Text, Words] = called
third: TaskType[Text, Words] = full
"""

WRONG = {
    "@task(time_limits=3)\ndef f(payload: Text, context: TaskContext) -> Words: ...": (
        "call-overload"
    ),
    "@task\ndef g(payload: Text) -> Words: ...": "call-overload",
    "from celeriac import Tsk": "attr-defined",
    "h: int = bare": "assignment",
    "bare(3, None)": "arg-type",
}


def test_type_checkers_see_the_types(tmp_path: Path) -> None:
    """A task file passes ``mypy --strict``, and each mistake in it is an error."""
    (tmp_path / "right.py").write_text(SNIPPET)
    (tmp_path / "wrong.py").write_text(SNIPPET + "\n\n".join(WRONG))

    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent"),
            *("--config-file=", f"--cache-dir={tmp_path}", "right.py", "wrong.py"),
        ],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"MYPYPATH": str(ROOT)},
        timeout=300,
    )

    assert "right.py" not in done.stdout, done.stdout
    for code in set(WRONG.values()):
        assert f"[{code}]" in done.stdout, done.stdout
    assert done.stdout.count("error:") >= len(WRONG)
