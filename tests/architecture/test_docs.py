"""The pages say what the code does."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from celeriac import states
from celeriac.cli.main import app as command_line
from celeriac.contract import TaskContext, task
from celeriac.contract.variables import PREFIX
from celeriac.settings import Settings
from celeriac.storage import values
from celeriac.transport import call
from docs import public_names_page, settings_page
from docs.built_in import BUILT_IN
from tests.architecture.pages import (
    PAGES,
    ROOT,
    anchors,
    code_blocks,
    links,
    prose,
    tables,
)

README = ROOT / "README.md"
INDEX = ROOT / "docs/README.md"
CLI = ROOT / "docs/cli.md"
GLOSSARY = ROOT / "docs/glossary.md"
ARCHITECTURE = ROOT / "docs/architecture.md"
ADDING = ROOT / "docs/adding-a-task.md"

ROOMS = [path.parent for path in ROOT.glob("*/__init__.py")]
MODULES = sorted(module for room in ROOMS for module in room.rglob("*.py"))

#: Variables that are no settings: where a project keeps its parts, and what one worker does.
OTHER_VARIABLES = {
    f"{PREFIX}{name}" for name in ("TASKS", "APP", "API", "QUEUES", "CONCURRENCY", "HEALTH_FILE")
}

STATE = re.compile(r"\b[A-Z]{5,}\b")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def words_in_code(cell: str) -> str:
    """What a table's cell names in backticks, without arguments and owner."""
    found = re.search(r"`(?:context\.)?(\w+)", cell)
    assert found, cell
    return found[1]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    """A link inside the repository names a file that exists, and a heading that is in it."""
    for link in links(page):
        if link.startswith(("http://", "https://")) or "NNNN" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_readme_opens_with_a_sentence_and_a_task_file() -> None:
    """A reader sees in one screen what it is, and how a task is written."""
    title, sentence, code, *_ = README.read_text().split("\n\n", 3)[:3]
    (task_file,) = [block for block in code_blocks("python", README) if block.path]

    assert title == "# Celeriac"
    assert sentence.endswith(".")
    assert sentence.count(". ") == 0
    assert code.startswith(f"```python\n# {task_file.path}\n")
    assert len([line for line in task_file.text.splitlines() if line.strip()]) <= 25


def test_readme_is_read_in_some_minutes() -> None:
    """It has about 900 words, code included; the pages have the rest."""
    assert len(README.read_text().split()) <= 950


def test_the_index_leads_to_every_page() -> None:
    """README leads to the index, and the index to each page of ``docs`` and each built-in type."""
    pages = {page for page in PAGES if page.parent in (ROOT / "docs", ROOT / "docs/tasks")}
    found = {(INDEX.parent / link.partition("#")[0]).resolve() for link in links(INDEX)}

    assert {f"{name}.md" for name in BUILT_IN} <= {page.name for page in pages}
    assert INDEX in {(ROOT / link).resolve() for link in links(README)}
    assert pages - {INDEX} <= found


def test_every_make_target_that_a_page_names_exists() -> None:
    """``make help`` lists each command that the docs tell a reader to give."""
    answer = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    known = set(re.findall(r"^\s*make (\S+)", answer.stdout, re.MULTILINE))

    named = {
        name
        for page in PAGES
        for name in re.findall(
            r"(?:`|^ *|=\d+ )make ([a-z0-9-]+)(?![a-z0-9/-])", page.read_text(), re.MULTILINE
        )
    }

    assert {"run", "test", "help"} <= named
    assert named <= known


def test_the_glossary_has_celerys_states() -> None:
    """Its table has each state of the code once, and calls final what the code does."""
    rows = {cells[0].strip("`"): cells for cells in tables(GLOSSARY)[-1]}

    assert tuple(rows) == states.ALL
    assert {state for state, cells in rows.items() if cells[-1] == "yes"} == states.TERMINAL


@pytest.mark.parametrize("page", [GLOSSARY, ARCHITECTURE], ids=name_of)
def test_the_states_diagram_has_every_state(page: Path) -> None:
    """The drawing that opens with PENDING names each state, and no other."""
    found = re.search(r"^    PENDING →.*\n.*$", prose(page), re.MULTILINE)

    assert found
    assert set(STATE.findall(found[0])) == set(states.ALL)


def test_the_settings_page_is_in_step() -> None:
    """It is what the generator makes of the settings as they are now."""
    assert settings_page.PAGE.read_text() == settings_page.page(), "Generate it again: make docs"


def test_the_page_of_public_names_is_in_step() -> None:
    """It has every name of ``celeriac.__all__``, with its signature and first paragraph."""
    assert public_names_page.PAGE.read_text() == public_names_page.page(), (
        "Generate it again: make docs"
    )


def test_every_command_is_documented() -> None:
    """Each command of ``celeriac`` has a row in the page of the command line."""
    command: Any = get_command(command_line)
    text = CLI.read_text()

    for name, each in command.commands.items():
        for words in [f"{name} {inner}" for inner in getattr(each, "commands", [])] or [name]:
            assert f"| `celeriac {words}" in text, words


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_documented(name: str) -> None:
    """Each variable has a row that says in words what it means."""
    rows = {cells[0]: cells for cells in tables(settings_page.PAGE)[0]}

    assert len(rows[f"`{PREFIX}{name.upper()}`"][-1].split()) > 2


def test_variables_that_pages_name_exist() -> None:
    """A ``CELERIAC_…`` variable in a page is one that something reads."""
    named = {
        name
        for page in PAGES
        for name in re.findall(rf"{PREFIX}[A-Z_]+", page.read_text())
        if page != settings_page.PAGE
    }

    assert named <= {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | OTHER_VARIABLES


def test_every_option_of_task_is_explained() -> None:
    """The table of ``@task`` has each of its arguments, and no other."""
    explained = [words_in_code(cells[0]) for cells in tables(ADDING)[0]]

    assert explained[:5] == ["queue", "time_limit", "retry", "name", "aliases"]
    options = inspect.signature(task).parameters.values()
    assert explained == [each.name for each in options if each.kind is each.KEYWORD_ONLY]


def test_everything_a_context_gives_is_explained() -> None:
    """The table of ``context`` has each member of ``TaskContext``, and no other."""
    explained = {words_in_code(cells[0]) for cells in tables(ADDING)[1]}

    assert explained == {name for name in vars(TaskContext) if not name.startswith("_")}


def test_the_sizes_in_the_architecture_are_the_codes() -> None:
    """Where a value is kept is decided by the limits that the page gives."""
    sizes = [cells[0] for cells in tables(ARCHITECTURE)[-1]]

    assert sizes == [
        f"up to {values.INLINE_LIMIT} bytes",
        f"up to {values.ITEM_LIMIT // 2**10} KiB",
        f"up to {values.LARGEST // 2**20} MB",
    ]
    assert f"fits into {call.LARGEST_IN_MESSAGE // 2**10} KiB" in ARCHITECTURE.read_text()


@pytest.mark.parametrize("page", [README, ARCHITECTURE], ids=name_of)
def test_every_room_is_named_and_exists(page: Path) -> None:
    """The layout in the README and the table in the architecture name every directory of code."""
    rooms = re.findall(r"^(?:    |\| `)([a-z]+(?:/[a-z]+)?)/", prose(page), re.MULTILINE)

    assert {room.name for room in ROOMS} <= set(rooms)
    for room in rooms:
        assert (ROOT / room).is_dir(), room


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_every_module_says_what_it_is(module: Path) -> None:
    """The first line of a file says what it is for."""
    assert ast.get_docstring(ast.parse(module.read_text()))
