"""docs/schedules.md: its commands and its Python do what the page says."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from celeriac.app.factory import make_app
from celeriac.contract import Catalogue
from celeriac.http.app import create_app
from celeriac.settings import settings
from celeriac.storage.services import services
from tests.architecture.pages import ROOT, code_blocks, curls
from tests.integration.api.conftest import Api
from tests.integration.api.throwaway import CATALOGUE

PAGE = ROOT / "docs/schedules.md"


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


def request(api: Api, command: str, schedule_id: str) -> httpx.Response:
    """Send what curl would."""
    words = shlex.split(command.replace("\\\n", " ").replace("$ID", schedule_id))
    [url] = [word for word in words if word.startswith("http")]
    options: dict[str, Any] = {}
    method = words[words.index("-X") + 1] if "-X" in words else "GET"
    if "-d" in words:
        options["content"] = words[words.index("-d") + 1]
        options["headers"] = {"Content-Type": "application/json"}
        method = "POST" if method == "GET" else method
    return api(method, url.removeprefix("http://127.0.0.1:8000"), **options)


def test_the_commands_answer_as_the_page_says(page: Api) -> None:
    """From the making to the deletion, in the page's order."""
    made, *others = curls(PAGE)
    answer = request(page, made, "")
    assert answer.status_code == 201, answer.text
    assert len(answer.json()["next_fire_times"]) == 5
    statuses = [
        request(page, command, answer.json()["schedule_id"]).status_code for command in others
    ]
    assert statuses == [200, 200, 200, 200, 202, 200, 204]


def test_the_declared_schedules_have_the_pages_names(page: Api) -> None:
    """They are listed for the deployment's own tenant."""
    ids = [each["schedule_id"] for each in page.get("/schedules").json()["data"]]
    assert ids[:3] == ["type-send-digest", "type-send-digest-2", "type-send-digest-3"]


def test_the_python_prints_what_it_fired(
    page: Api,
    types: Catalogue,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The task names its schedule, and the history has one firing."""
    own: Callable[[], Any] = lambda: make_app(settings(), types)  # noqa: E731
    for module in ("schedules", "scheduling"):
        monkeypatch.setattr(f"celeriac.operations.{module}.celery_app", own)
    [example] = [
        each.text
        for each in code_blocks("python", PAGE)
        if "import Schedule, schedules" in each.text
    ]
    exec(compile(example, str(PAGE), "exec"), {})
    assert capsys.readouterr().out.splitlines() == ["True", "['fired']"]
    assert services().schedules.of(settings().tenant) == []
