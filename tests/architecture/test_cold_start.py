"""The Lambda's cold start: api.handler imports little, and needs no more than the api extra."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from celeriac.contract import catalogue
from celeriac.local.aws import AwsServer
from celeriac.local.environment import settings_at, variables
from celeriac.local.provision import provision
from celeriac.storage.keys import Keys, Scope

ROOT = Path(__file__).parents[2]
KEY = "cel_of-this-test"

#: What only workers use, and what only development does.
FORBIDDEN = (
    "PIL",
    "celery.apps",
    "celery.bin",
    "celery.concurrency.prefork",
    "celeriac.cdk",
    "celeriac.cli",
    "celeriac.worker",
    "celery.worker",
    "duckdb",
    "jinja2",
    "celeriac.local",
    "moto",
    "pycurl",
    "pypdf",
    "typst",
    "uvicorn",
    "worker",
    "xlsxwriter",
)

CALL_THE_HANDLER = f"""
import json, sys
sys.path[:0] = json.loads(sys.argv[1])
import api.handler
assert api.handler.__file__.startswith({str(ROOT)!r})
loaded = [name for name in {FORBIDDEN!r} if name in sys.modules]
assert not loaded, f"api.handler loads {{', '.join(loaded)}}"
answer = api.handler.handler(json.loads(sys.argv[2]), None)
print(json.dumps(answer))
"""


def event(method: str, path: str, body: str = "") -> str:
    """What API Gateway sends for a request."""
    http = {"method": method, "path": path, "sourceIp": "203.0.113.7"}
    return json.dumps(
        {
            "version": "2.0",
            "rawQueryString": "",
            "headers": {"host": "api", "authorization": f"Bearer {KEY}"},
            "requestContext": {"http": http},
            "body": body,
        }
    )


def call_the_handler(
    python: list[str], paths: list[Path], event: str, environment: dict[str, str]
) -> dict[str, Any]:
    """Import the handler in a new process, and give it one event; its answer."""
    done = subprocess.run(
        [*python, "-c", CALL_THE_HANDLER, json.dumps([str(path) for path in paths]), event],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    sys.stderr.write(done.stdout)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def test_the_handler_loads_nothing_that_only_workers_need() -> None:
    """Heavy libraries stay out of the import although they are installed here."""
    answer = call_the_handler([sys.executable], [ROOT], event("GET", "/health"), {})
    assert answer["statusCode"] == 200


@pytest.fixture
def api_extra(tmp_path: Path) -> Path:
    """A directory with what locks/api.txt names, and nothing else."""
    subprocess.run(
        [
            *(sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-deps"),
            *("--require-hashes", "--requirement", str(ROOT / "locks" / "api.txt")),
            *("--target", str(tmp_path), "--python", sys.executable),
        ],
        check=True,
        timeout=120,
    )
    return tmp_path


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """The variables of a provisioned AWS with one API key."""
    with AwsServer() as server:
        environment = variables(server.endpoint)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        own = settings_at(server.endpoint)
        provision(own, catalogue(), server.endpoint)
        Keys(boto3.client("dynamodb"), own.table_name).register(
            KEY, name="test", tenant="default", scopes=[Scope.ADMIN]
        )
        yield environment


def test_the_api_extra_is_enough_to_submit(api_extra: Path, aws: dict[str, str]) -> None:
    """With no other package in reach, the handler takes a task and sends its message."""
    # -I -S: not the environment's packages, nor the user's, nor the working directory.
    answer = call_the_handler(
        [sys.executable, "-I", "-S"], [api_extra, ROOT], event("POST", "/tasks/cleanup"), aws
    )
    assert answer["statusCode"] == 202, answer
