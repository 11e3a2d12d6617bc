"""``check`` imports a project's task modules and returns every mistake, with its line and fix."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from textwrap import dedent

import pytest

from celeriac.contract import checking
from celeriac.contract.checking import Fault, check
from celeriac.project import Project

ROOT = Path(__file__).parents[3]

HEAD = """\
from celeriac import BaseModel, Field, PermanentError, Queue, Retry, TaskContext, task


class Text(BaseModel):
    text: str


class Words(BaseModel):
    total: int


"""
#: The line on which a file's own part begins.
BODY = HEAD.count("\n") + 1

RIGHT = """\
@task
def {name}(payload: Text, context: TaskContext) -> Words:
    return Words(total=len(payload.text.split()))
"""

Checked = Callable[..., list[str]]


@pytest.fixture
def checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checked:
    """Saves files in a project's folder, and returns what ``check`` says of it there."""

    def checked(files: dict[str, str], *, tasks: tuple[str, ...] = ("tasks",)) -> list[str]:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return [str(fault) for fault in check(Project(tasks=tasks))]

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "__init__.py").touch()
    return checked


def one(body: str) -> dict[str, str]:
    return {"tasks/count_words.py": HEAD + dedent(body)}


def test_a_right_project_has_no_fault(checked: Checked) -> None:
    """Bare decorators, no docstrings, sub-packages and plain Celery tasks are all right."""
    files = one(RIGHT.format(name="count_words"))
    files["tasks/deep/er/count_more.py"] = HEAD + RIGHT.format(name="count_more")
    files["tasks/plain.py"] = "from celery import shared_task\n\n@shared_task\ndef f(): ...\n"

    assert checked(files) == []


def test_this_repositorys_own_tasks_have_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """No built-in task type or helper is taken for a mistake, and none imports much."""
    monkeypatch.chdir(ROOT)

    assert check(Project()) == []


#: A file's own part, the line of it that is blamed, counted from 0, and what is said.
MISTAKES: list[tuple[str, int, str]] = [
    (
        "@task(max_retries=3)\ndef f(payload: Text, context: TaskContext) -> Words: ...",
        0,
        "max_retries=3 is an option of Celery's, not of @task. Write retry=Retry(attempts=4)",
    ),
    (
        "\n@task\nasync def f(payload: Text, context: TaskContext) -> Words: ...",
        1,
        "f is an async function, and workers run plain ones. Write def, ",
    ),
    (
        "@task(queue='video')\ndef f(payload: Text, context: TaskContext) -> Words: ...",
        0,
        "queue='video' is not a Queue. Write queue=VIDEO, and VIDEO = Queue(\"video\") in ",
    ),
    (
        "@task\nclass Words: ...",
        0,
        "Words is a class. Write @task above a function at the module's top level.",
    ),
    (
        "def f(payload: Text, context: TaskContext) -> Words: ...",
        0,
        "f looks like a task, but no @task declares it. Write @task above it, or call it _f",
    ),
    ("def f(:", 0, "it is not valid Python 3."),
    (
        "\n\n1 / 0",
        2,
        "importing this file raises ZeroDivisionError: division by zero. ",
    ),
    ("import sys\nsys.exit(3)", 1, "importing this file raises SystemExit: 3. Correct this "),
    ("import no_such_thing", 0, "No module named 'no_such_thing'. Install no_such_thing, or "),
    ("import tasks.other", 0, "No module named 'tasks.other'. Correct the name, or add "),
    ("from tasks import other", 0, "ImportError: cannot import name 'other' from 'tasks' "),
    ("class Odd(BaseException): ...\nraise Odd", 1, "importing this file raises Odd. Correct"),
    (
        "class Odd(Exception):\n    def __str__(self):\n        raise ValueError\nraise Odd",
        3,
        "importing this file raises Odd. Correct",
    ),
    ("import sys\ndel sys.modules[__name__]", 1 - BODY, "importing this file raises KeyError: "),
    (
        "@task\ndef f(payload: 'Text[1 / 0]', context: TaskContext) -> Words: ...",
        0,
        "the annotations of f can't be read: ZeroDivisionError: division by zero. Write def f(",
    ),
    (
        "@task\ndef f(payload: BaseModel, context: TaskContext) -> Words: ...",
        0,
        "the payload of f is BaseModel itself, which has no fields. Declare a class ",
    ),
    (
        (
            "import functools\n\n@functools.cache\n@task\n"
            "def hidden(payload: Text, context: TaskContext) -> Words: ..."
        ),
        2,
        (
            "something else than @task's result is called hidden, so the task type 'hidden' isn't "
            "found. Leave out the decorator above @task."
        ),
    ),
    (
        (
            "from celery import shared_task\n\n@shared_task\n@task\n"
            "def f(payload: Text, context: TaskContext) -> Words: ..."
        ),
        2,
        "Leave out the decorator above @task.",
    ),
    (
        (
            "class A:\n    @staticmethod\n    @task\n"
            "    def inner(payload: Text, context: TaskContext) -> Words: ..."
        ),
        1,
        "inner is inside a class or function, so the task type 'inner' isn't found. Write it at ",
    ),
    (
        (
            "@task\ndef two(payload: Text, context: TaskContext) -> Words: ...\n"
            "@task\ndef two(payload: Text, context: TaskContext) -> Words: ..."
        ),
        0,
        "two is declared again at ",
    ),
    (
        "from tasks.mistake_CIRCLE import nothing",
        0,
        "(most likely due to a circular import)",
    ),
    ("Retry(3)", 0, "positional argument but 2 were given. Correct this line."),
    ("Queue('Video')", 0, "Queue('Video'): use up to 20 lower-case letters and digits"),
    ("Retry(attempts=0)", 0, "Retry(attempts=0) counts the first attempt too: give 1 or more."),
    ("Retry(times=3)", 0, "unexpected keyword argument 'times'. Correct this line"),
    (
        """\
        from collections.abc import Callable

        class Odd(BaseModel):
            size: Callable[[], int]

        @task
        def odd(payload: Odd, context: TaskContext) -> Words: ...
        """,
        2,
        "the model Odd has no JSON schema: ",
    ),
    (
        """\
        class Later(BaseModel):
            size: "Nowhere"

        @task
        def later(payload: Later, context: TaskContext) -> Words: ...
        """,
        0,
        "the model Later has no JSON schema: Later is not fully defined",
    ),
]


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> list[Fault]:
    """What ``check`` says of a project in which each mistake has a file."""
    root = tmp_path_factory.mktemp("project")
    (root / "tasks").mkdir()
    (root / "tasks" / "__init__.py").touch()
    for number, (body, _, _) in enumerate(MISTAKES):
        (root / "tasks" / f"mistake_{number}.py").write_text(
            HEAD + dedent(body).replace("CIRCLE", str(number))
        )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.syspath_prepend(root)
        return check(Project())


@pytest.mark.parametrize("number", range(len(MISTAKES)), ids=[each[2] for each in MISTAKES])
def test_a_mistake_is_told_by_file_and_line(number: int, faults: list[Fault]) -> None:
    """One line that names the fault and the fix, and no traceback."""
    _, line, message = MISTAKES[number]

    [fault] = [each for each in faults if str(each.file).endswith(f"/mistake_{number}.py")]

    assert fault.line == BODY + line
    assert message in str(fault)
    assert str(fault).startswith(f"{fault.file}:{fault.line}: {fault.fault}. {fault.fix}")
    assert "\n" not in str(fault)
    assert not fault.warning


def test_every_file_is_checked(checked: Checked) -> None:
    """A mistake in one file hides none in another; they come in the files' order."""
    faults = checked(
        {
            "tasks/a.py": HEAD + "1 / 0\n",
            "tasks/b.py": HEAD + RIGHT.format(name="right"),
            "tasks/c.py": HEAD + "@task(retries=2)\n" + RIGHT.format(name="c"),
            "tasks/deep/d.py": HEAD + RIGHT.format(name="d").replace("Text,", "dict,"),
        }
    )

    assert [fault.partition(":")[0] for fault in faults] == [
        "tasks/a.py",
        "tasks/c.py",
        "tasks/deep/d.py",
    ]


def test_a_mistake_that_several_files_import_is_told_once(checked: Checked) -> None:
    """The file that has it is blamed, and no file that imports it."""
    files = {f"tasks/{name}.py": "from tasks.queues import VIDEO\n" for name in "abc"}

    [fault] = checked({**files, "tasks/queues.py": "1 / 0\n"})

    assert fault == (
        "tasks/queues.py:1: importing this file raises ZeroDivisionError: division by zero. "
        "Correct this line, or move it into the task's function, where it runs with the task."
    )


def test_two_types_of_one_name_are_told_with_both_places(checked: Checked) -> None:
    """So are two queues of one name and other fleets."""
    fleet = "from celeriac import Fleet\nVIDEO = Queue('video', fleet=Fleet(processes={}))\n"

    named, fleets = checked(
        {
            "tasks/a.py": HEAD + RIGHT.format(name="count") + fleet.format(1),
            "tasks/b.py": HEAD + RIGHT.format(name="count") + fleet.format(2),
        }
    )

    assert named == (
        f"tasks/b.py:{BODY}: the task name 'count' of count is taken by count at "
        f"tasks/a.py:{BODY}. Give one of them another with @task(name=...)."
    )
    assert fleets == (
        f"tasks/b.py:{BODY + 4}: Queue('video') has a different fleet at "
        f"tasks/a.py:{BODY + 4}. Declare it once, and import it where you need it."
    )


#: Private, mentioned, imported elsewhere, or of another shape.
HELPERS = [
    "def _f(payload: Text, context: TaskContext) -> Words: ...",
    "def f(payload: Text, context: TaskContext) -> Words: ...\n\ndef g(): return f",
    "def used(payload: Text, context: TaskContext) -> Words: ...",
    "def h(payload: str, context: TaskContext) -> Words: ...",
    "def i(context: TaskContext, payload: Text) -> Words: ...",
    "def j(payload: Text, context: TaskContext, more: int) -> Words: ...",
    "def k(payload: Text) -> Words: ...",
    "def l(payload: Text, context: 'Unknown') -> Words: ...",
    "from tasks.others import helper",
    "class Handler:\n    def m(self, context: TaskContext) -> Words: ...",
]


def test_a_helper_is_not_taken_for_a_task(checked: Checked) -> None:
    """Only a function that no other code mentions has forgotten its decorator."""
    files = {f"tasks/helper_{n}.py": HEAD + body for n, body in enumerate(HELPERS)}
    files["tasks/right.py"] = HEAD + RIGHT.format(name="right")
    files["tasks/others.py"] = (
        "from celeriac import TaskContext\n\n"
        "def helper(payload, context: TaskContext): ...\n\n"
        "def uses():\n    from tasks.helper_2 import used\n    return used\n"
    )

    assert checked(files) == []


def test_a_forgotten_decorator_deep_down_is_found(checked: Checked) -> None:
    """``check`` also looks into modules that declare nothing, if they know ``TaskContext``."""
    body = HEAD.replace(", Queue, Retry, TaskContext, task", ", TaskContext")
    files = one(RIGHT.format(name="right"))
    files["tasks/deep/other.py"] = (
        body + "def other(payload: Text, context: TaskContext) -> Words: ...\n"
    )

    [fault] = checked(files)

    assert fault.startswith(f"tasks/deep/other.py:{BODY}: other looks like a task")


def library(name: str, body: str = "") -> dict[str, str]:
    """A library by this name, which comes before any that is installed."""
    return {f"{name}.py": body}


@pytest.mark.parametrize(
    ("statement", "loads"),
    [
        ("import numpy", "importing numpy takes"),
        ("import numpy as np", "importing numpy takes"),
        ("from pandas import DataFrame", "importing pandas takes"),
        ("import shop_models", "importing shop_models, which loads numpy, takes"),
    ],
)
def test_a_heavy_import_is_a_warning(statement: str, loads: str, checked: Checked) -> None:
    """The warning has the statement's line and the fix, whether it imports directly or not."""
    files = one(f"{statement}\n\n{RIGHT.format(name='count_words')}")
    files |= library("numpy") | library("pandas", "DataFrame = 1")
    files |= library("shop_models", "import numpy")

    [fault] = checked(files)

    assert fault.startswith(f"tasks/count_words.py:{BODY}: warning: {loads}")
    assert re.search(
        r"takes \d+ ms at each start of the API\. Import it inside the function that uses it\.$",
        fault,
    )


def test_a_heavy_import_of_a_helper_is_blamed_on_the_helper(checked: Checked) -> None:
    """The statement to move is the one that names the library."""
    files = one(f"from tasks.deep.tables import read\n\n{RIGHT.format(name='count_words')}")
    files |= {"tasks/deep/tables.py": "import os\nimport numpy\n\nread = 1\n"} | library("numpy")

    [fault] = checked(files)

    assert fault.startswith("tasks/deep/tables.py:2: warning: importing numpy takes")


def test_a_slow_import_is_a_warning(checked: Checked) -> None:
    """An unknown library that takes half a second is reported too."""
    files = one(f"import sluggish\n\n{RIGHT.format(name='count_words')}")
    files |= library("sluggish", "import time\ntime.sleep(0.5)")

    [fault] = checked(files)

    assert fault.startswith(f"tasks/count_words.py:{BODY}: warning: importing sluggish takes 5")


def test_an_import_inside_a_function_costs_nothing(checked: Checked) -> None:
    """The fix that the warning names is enough. A helper that isn't imported needs none."""
    body = RIGHT.format(name="count_words").replace("    return", "    import numpy\n    return")
    files = one(body) | {"tasks/deep/tables.py": "import numpy\n"} | library("numpy")

    assert checked(files) == []


def test_what_this_process_has_loaded_is_still_measured(
    checked: Checked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files are checked as they are now, whatever was imported here before."""
    monkeypatch.setitem(sys.modules, "numpy", sys)
    files = one(f"import numpy\n\n{RIGHT.format(name='count_words')}") | library("numpy")

    assert len(checked(files)) == 1
    assert len(checked(one(RIGHT.format(name="count_words")))) == 0


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        (("gone",), "There is no package 'gone' in "),
        (("tasks", "gone"), "There is no package 'gone' in "),
    ],
)
def test_a_missing_package_is_a_fault(
    tasks: tuple[str, ...], message: str, checked: Checked
) -> None:
    """It has no line, and hides no other mistake."""
    faults = checked(one("1 / 0"), tasks=tasks)

    assert faults[0].startswith(message)
    assert len(faults) == len(tasks)


def test_a_package_whose_init_fails_is_a_fault(checked: Checked) -> None:
    """The line in ``__init__.py`` is blamed, once."""
    files = one(RIGHT.format(name="count_words")) | {"tasks/__init__.py": "\n1 / 0\n"}

    [fault] = checked(files)

    assert fault.startswith("tasks/__init__.py:2: importing this file raises ZeroDivisionError")


def test_a_project_without_tasks_is_warned(checked: Checked) -> None:
    """It runs, and offers nothing."""
    assert checked({"tasks/helper.py": "LIMIT = 3\n"}) == [
        "warning: tasks declares no task type. Write a function with @task in a file there."
    ]


def test_a_module_that_ends_the_process_is_a_fault(checked: Checked) -> None:
    """The check goes on, and says what happened."""
    [fault] = checked(one("import os\nos._exit(7)"))

    assert fault == (
        "tasks/count_words.py:1: importing this file ended the process (exit code 7). "
        "Remove what exits or crashes at the module's top level."
    )


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("\nimport time\ntime.sleep(60)\n", 3),
        ("\nwhile True:\n    try:\n        pass\n    except Exception:\n        pass\n", None),
    ],
)
def test_a_module_that_waits_is_a_fault(body: str, line: int | None, checked: Checked) -> None:
    """The check ends after its own time limit, and says which line it waited for."""
    checked(one(RIGHT.format(name="count_words")))
    Path("tasks/slow.py").write_text(body)

    [fault] = check(Project(), timeout=timedelta(seconds=2))

    assert str(fault.file).endswith("tasks/slow.py")
    assert fault.line == line or line is None
    assert str(fault).endswith(
        ": importing this file takes more than 2 seconds. "
        "Move what waits or computes into the task's function."
    )


def test_a_module_that_no_signal_interrupts_is_a_fault(
    checked: Checked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file is named; its line is unknown."""
    monkeypatch.setattr(checking, "GRACE", timedelta(seconds=1))
    checked(one(RIGHT.format(name="count_words")))
    Path("tasks/slow.py").write_text(
        "import signal, time\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\ntime.sleep(60)\n"
    )

    [fault] = check(Project(), timeout=timedelta(seconds=2))

    assert str(fault).startswith("tasks/slow.py:1: importing this file takes more than 2 seconds.")


def test_what_modules_print_is_no_fault(checked: Checked) -> None:
    """The report goes through a file, not through stdout."""
    assert checked(one(f"print('[]')\n{RIGHT.format(name='count_words')}")) == []


def test_a_fault_outside_the_current_directory_has_its_full_path() -> None:
    """A path is shortened only where it can be opened from here."""
    here = str(Path.cwd() / "a.py")

    assert str(Fault(fault="A", fix="B", file=here, line=3)) == "a.py:3: A. B."
    assert str(Fault(fault="A", fix="B", file="/srv/a.py", line=3)) == "/srv/a.py:3: A. B."
