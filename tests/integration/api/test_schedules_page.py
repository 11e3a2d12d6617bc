"""docs/schedules.md: its commands and its Python do what the page says."""

from __future__ import annotations

import inspect
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from celeriac import schedules
from celeriac.app.factory import make_app
from celeriac.contract import Catalogue
from celeriac.http.app import create_app
from celeriac.settings import settings
from celeriac.storage.services import services
from tests.architecture.pages import ROOT, code_blocks, curls
from tests.integration.api.conftest import Api
from tests.integration.api.throwaway import CATALOGUE

PAGE = ROOT / "docs/schedules.md"
HOST = "http://127.0.0.1:8000"


@pytest.fixture(scope="module")
def types(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """The page's task file."""
    [block] = [each for each in code_blocks("python", PAGE) if each.path]
    module = ModuleType("send_digest_of_the_page")
    sys.modules[module.__name__] = module
    path = Path(tmp_path_factory.mktemp("tasks"), "send_digest.py")
    path.write_text(block.text)
    exec(compile(block.text, str(path), "exec"), module.__dict__)
    return Catalogue([*CATALOGUE.values(), module.__dict__["send_digest"]])


@pytest.fixture
def page(app: FastAPI, types: Catalogue) -> Api:
    return Api.of(create_app(catalogue=types), settings().tenant)


#: Each operation on schedules, by its method and path.
OPERATIONS = {
    (method.upper(), path)
    for path, methods in create_app(catalogue=CATALOGUE).openapi()["paths"].items()
    if path.startswith("/schedules")
    for method in methods
}


def request(api: Api, command: str, schedule_id: str) -> httpx.Response:
    """Send what curl would."""
    words = shlex.split(command.replace("\\\n", " ").replace("$ID", schedule_id))
    [url] = [word for word in words if word.startswith("http")]
    options: dict[str, Any] = {}
    if "-d" in words:
        options["content"] = words[words.index("-d") + 1]
    # Its own key: the page's is a variable of the shell.
    lines = [words[place + 1] for place, word in enumerate(words) if word == "-H"]
    headers = dict(line.split(": ", 1) for line in lines)
    headers.pop("Authorization")
    return api(method_of(words), url.removeprefix(HOST), headers=headers, **options)


def method_of(words: list[str]) -> str:
    if "-X" in words:
        return words[words.index("-X") + 1]
    return "POST" if "-d" in words else "GET"


def operation_of(command: str) -> tuple[str, str]:
    """The operation that a command asks for."""
    words = shlex.split(command.replace("\\\n", " "))
    [url] = [word for word in words if word.startswith("http")]
    path = url.removeprefix(HOST).partition("?")[0].replace("$ID", "{schedule_id}")
    return method_of(words), path


def test_every_operation_has_a_command() -> None:
    """Each once, in the order in which they work on one schedule."""
    shown = [operation_of(command) for command in curls(PAGE)]
    assert sorted(shown) == sorted(OPERATIONS)


def test_the_commands_answer_as_the_page_says(page: Api) -> None:
    """From the making to the deletion, in the page's order; a repetition makes no other."""
    made, *others = curls(PAGE)
    answer = request(page, made, "")
    assert answer.status_code == 201, answer.text
    assert len(answer.json()["next_fire_times"]) == 5
    again = request(page, made, "")
    assert again.headers["idempotent-replayed"] == "true"
    expected = {"POST": 200, "GET": 200, "PATCH": 200, "DELETE": 204}
    for command in others:
        method, path = operation_of(command)
        found = request(page, command, answer.json()["schedule_id"])
        status = 202 if path.endswith("/run") else expected[method]
        assert found.status_code == status, found.text


def test_the_declared_schedules_have_the_pages_names(page: Api) -> None:
    """They are listed for the deployment's own tenant."""
    ids = [each["schedule_id"] for each in page.get("/schedules").json()["data"]]
    assert ids[:3] == ["type-send-digest", "type-send-digest-2", "type-send-digest-3"]


def python_example() -> str:
    [example] = [
        each.text
        for each in code_blocks("python", PAGE)
        if "import Schedule, schedules" in each.text
    ]
    return example


def test_every_verb_of_python_is_in_the_example() -> None:
    """Those that the module offers."""
    verbs = {
        name for name in schedules.__all__ if inspect.isfunction(getattr(schedules, name, None))
    }
    assert set(re.findall(r"\bschedules\.(\w+)\(", python_example())) == verbs


def test_the_python_prints_what_it_fired(
    page: Api,
    types: Catalogue,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each verb does what it says, and nothing is left."""
    own: Callable[[], Any] = lambda: make_app(settings(), types)  # noqa: E731
    for module in ("schedules", "scheduling"):
        monkeypatch.setattr(f"celeriac.operations.{module}.celery_app", own)
    exec(compile(python_example(), str(PAGE), "exec"), {})
    assert capsys.readouterr().out.splitlines() == ["True", "5", "True False", "fired True"]
    assert services().schedules.of(settings().tenant) == []
