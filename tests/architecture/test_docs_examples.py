"""The files that the pages tell a reader to save work as they stand."""

from __future__ import annotations

import ast
import asyncio
import importlib
import json
import os
import re
import runpy
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient, Response
from moto import mock_aws

import tasks
from celeriac.contract import Catalogue
from celeriac.contract.variables import PREFIX
from celeriac.local.provision import provision
from celeriac.settings import Settings, settings
from celeriac.storage.keys import Scope
from celeriac.storage.services import reset, services
from celeriac.testing.context import FakeContext
from tasks.queues import DEFAULT
from tests.architecture.pages import PAGES, ROOT, CodeBlock, code_blocks, curls

#: The files of each are a project of their own, which a test of its own runs.
ELSEWHERE = {
    ROOT / "docs/from-celery-and-redis.md",  # tests/integration/test_from_celery_page.py
    ROOT / "docs/postgres.md",  # tests/integration/test_postgres_page.py
}

PAGES_HERE = [page for page in PAGES if page not in ELSEWHERE]
FILES = [block for page in PAGES_HERE for block in code_blocks("python", page) if block.path]
TESTS = [block for block in FILES if str(block.path).startswith("tests/")]


def path_of(block: CodeBlock) -> str:
    return str(block.path)


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory with the files that the pages show; the catalogue finds those in ``tasks/``."""
    for block in FILES:
        path = tmp_path / path_of(block)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text)
    monkeypatch.setattr(tasks, "__path__", [*tasks.__path__, str(tmp_path / "tasks")])
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if (tmp_path / f"{name}.py").exists():
            del sys.modules[name]
        if name.startswith("tasks."):
            del sys.modules[name]
            vars(tasks).pop(name.removeprefix("tasks."), None)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """An AWS in this process, and the settings of it."""
    for name in [name for name in os.environ if name.startswith(("AWS_", PREFIX))]:
        monkeypatch.delenv(name)
    url = "https://sqs.us-east-1.amazonaws.com/123456789012/celeriac-"
    variables = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        f"{PREFIX}QUEUE_URL_PREFIX": url,
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    reset()
    with mock_aws():
        yield settings()
    reset()


def test_each_task_file_is_found_by_its_name(clone: Path) -> None:
    """A saved file has its task type in the catalogue, and nothing else is needed."""
    catalogue = Catalogue.of(tasks)

    assert {"count-words", "export-rows", "total-order"} <= set(catalogue)
    for path in (clone / "tasks").glob("*.py"):
        task_type = catalogue[path.stem.replace("_", "-")]
        assert task_type.summary
        assert task_type.function.__module__ == f"tasks.{path.stem}"


def test_the_readmes_task_counts_words(clone: Path) -> None:
    """The first task type that a reader writes does what it says."""
    count_words = Catalogue.of(tasks)["count-words"]
    payload = count_words.payload_model(text="The quick fox and the lazy dog", top=1)
    context = FakeContext(clone)

    result = count_words(payload, context)

    assert result.model_dump() == {"total": 7, "words": {"the": 2}}
    assert context.steps == [(1, 1, "7 words found")]


def test_the_readmes_task_has_an_endpoint(clone: Path, aws: Settings) -> None:
    """A saved file has an endpoint that validates, and is at /docs."""
    from celeriac.http.app import create_app

    catalogue = Catalogue.of(tasks)
    provision(aws, catalogue)
    services().keys.register("cel_docs", name="docs", tenant="default", scopes=[Scope.SUBMIT])
    app = create_app(aws, catalogue)

    async def ask() -> tuple[Response, Response, Response]:
        async with AsyncClient(
            transport=ASGITransport(app),
            base_url="http://api",
            headers={"Authorization": "Bearer cel_docs"},
        ) as api:
            return (
                await api.post("/tasks/count-words", json={"text": "to be or not to be"}),
                await api.post("/tasks/count-words", json={"text": ""}),
                await api.get("/openapi.json"),
            )

    accepted, refused, documented = asyncio.run(ask())

    assert accepted.status_code == 202
    assert accepted.json()["status"] == "PENDING"
    assert [error["pointer"] for error in refused.json()["errors"]] == ["#/text"]
    assert "/tasks/count-words" in documented.json()["paths"]
    answer = services().sqs.receive_message(QueueUrl=aws.queue_url(DEFAULT))
    assert accepted.json()["task_id"] in answer["Messages"][0]["Body"]


@pytest.mark.parametrize("block", TESTS, ids=path_of)
def test_the_tests_that_pages_show_pass(block: CodeBlock, clone: Path, tmp_path: Path) -> None:
    """A reader copies the task and its test, and sees it pass."""
    shown = runpy.run_path(str(clone / path_of(block)))
    functions = {name: value for name, value in shown.items() if name.startswith("test_")}

    assert functions
    for name, function in functions.items():
        workdir = tmp_path / name
        workdir.mkdir()
        function(workdir)


@pytest.mark.parametrize("page", PAGES_HERE, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_in_pages_imports_what_exists(page: Path, clone: Path) -> None:
    """Each name that an example imports exists."""
    for block in code_blocks("python", page):
        tree = ast.parse(block.text)
        tree.body = [each for each in tree.body if isinstance(each, ast.Import | ast.ImportFrom)]
        exec(compile(tree, str(page), "exec"), {})


def test_the_page_on_limits_submits_one_task(
    clone: Path, aws: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its Python gives one task for two submissions, and HTTP says that it does."""
    from celeriac.app.factory import make_app
    from celeriac.http.app import create_app
    from celeriac.operations import submission

    types = Catalogue.of(tasks)
    provision(aws, types)
    services().keys.register("cel_docs", name="docs", tenant="default", scopes=[Scope.SUBMIT])
    monkeypatch.setattr(submission, "celery_app", lambda: make_app(aws, types))
    blocks = [block.text for block in code_blocks("python", ROOT / "docs/limits.md")]
    [example] = [each for each in blocks if each.startswith("from celeriac import submit")]

    exec(compile(example, "docs/limits.md", "exec"), {})

    async def ask() -> Response:
        headers = {"Authorization": "Bearer cel_docs"}
        async with AsyncClient(
            transport=ASGITransport(create_app(aws, types)), base_url="http://api", headers=headers
        ) as api:
            return await api.post("/tasks/sync-account", json={"account": "ada"})

    answer = asyncio.run(ask())
    assert (answer.status_code, answer.headers["unique-replayed"]) == (202, "true")


def test_the_page_on_tenants_says_when_to_try_again(
    clone: Path, aws: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its environment has the quotas. Its Python is told when a tenant has room again."""
    from celeriac.app.factory import make_app
    from celeriac.cdk import Environment
    from celeriac.operations import submission

    monkeypatch.setenv(f"{PREFIX}WAITING_PER_TENANT", "1")
    reset()
    types = Catalogue.of(tasks)
    provision(settings(), types)
    app = make_app(settings(), types)
    monkeypatch.setattr(submission, "celery_app", lambda: app)
    configures, submits = (
        compile(block.text, "docs/tenants.md", "exec")
        for block in code_blocks("python", ROOT / "docs/tenants.md")
    )

    names: dict[str, Any] = {"Environment": Environment}
    exec(configures, names)
    exec(submits, {})
    accepted = capsys.readouterr().out
    exec(submits, {})
    refused = capsys.readouterr().out

    assert names["PROD"].waiting_per_tenant == 10_000
    assert accepted == ""
    assert re.search(r"Try again in \d+ s\.", refused)


@pytest.mark.parametrize(
    "command",
    [
        each
        for page in PAGES_HERE
        for each in curls(page)
        # Those of schedules are sent by tests/integration/api/test_schedules_page.py.
        if " -d " in each and "/schedules" not in each
    ],
)
def test_every_curl_sends_a_valid_payload(command: str, clone: Path) -> None:
    """A command to paste names a task type that exists, and a payload that it takes."""
    words = shlex.split(command)
    found = re.search(r"/tasks/([a-z-]+)(?:\?|$)", words[2])

    assert found, command
    payload = json.loads(words[words.index("-d") + 1])
    Catalogue.of(tasks)[found[1]].payload_model.model_validate(payload)
