"""A FastAPI app of your own gains Celeriac from the wheel: included below a prefix, or mounted."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.doors.conftest import MakeEnvironment

TASK = '''\
from celeriac import BaseModel, TaskContext, task


class Text(BaseModel):
    text: str


class Count(BaseModel):
    words: int


@task()
def count_words(payload: Text, context: TaskContext) -> Count:
    """Count the words of a text."""
    return Count(words=len(payload.text.split()))
'''

OWN_APP = """\
from fastapi import FastAPI

app = FastAPI(title="Shop")


@app.get("/invoices/{number}")
def invoice(number: int) -> dict[str, int]:
    return {"number": number}
"""

FORMS = {
    "include_router": """\
import celeriac.http
from plain import app

app.include_router(celeriac.http.router(), prefix="/background")
""",
    "mount": """\
import celeriac.http
from plain import app

app.mount("/background", celeriac.http.create_app())
""",
}

#: Runs in the fresh environment: AWS, the app under uvicorn, a worker, and one task over HTTP.
DRIVER = """\
import json
import socket
import subprocess
import sys
import time

import httpx
from fastapi.testclient import TestClient

from celeriac import catalogue
from celeriac.local.aws import AwsServer
from celeriac.local.environment import enter, settings_at, variables
from celeriac.local.provision import provision
from celeriac.storage.keys import Scope, generate
from celeriac.storage.services import services

OWN = ["/invoices/3", "/invoices/x", "/nothing"]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def until(look, seconds=120):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = look()
        if found is not None:
            return found
        time.sleep(0.2)
    raise TimeoutError(look)


def healthy():
    try:
        return True if api.get("/background/health").status_code == 200 else None
    except httpx.TransportError:
        return None


def ended():
    found = api.get(task["links"]["self"], headers=key).json()
    return found if found["status"] in {"SUCCESS", "FAILURE", "REVOKED"} else None


def answers(client):
    return [[each.status_code, each.text] for each in map(client.get, OWN)]


with AwsServer() as server:
    enter(variables(server.endpoint))
    provision(settings_at(server.endpoint), catalogue(), server.endpoint)
    secret = generate()
    services().keys.register(secret, name="door", tenant="shop", scopes=[Scope.ADMIN])
    key = {"Authorization": f"Bearer {secret}"}
    port = free_port()
    programs = [
        [sys.executable, "-m", "uvicorn", "web:app", "--port", str(port)],
        [sys.executable, "-m", "celeriac.worker"],
    ]
    started = [subprocess.Popen(each, stdout=subprocess.DEVNULL) for each in programs]
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as api:
            until(healthy)
            text = {"text": "one two three"}
            made = api.post("/background/tasks/count-words", json=text, headers=key)
            made.raise_for_status()
            task = made.json()
            done = until(ended)
            refused = api.post("/background/tasks/count-words", json={}, headers=key)
            ours = answers(api)
            script = api.get("/background/docs/files/swagger-ui-bundle.js")
    finally:
        for each in started:
            each.terminate()
        for each in started:
            each.wait(120)

import plain

print(json.dumps({
    "location": made.headers["location"],
    "task": done,
    "refused": [refused.headers["content-type"], refused.json()["type"]],
    "ours": ours,
    "script": script.status_code,
    "celeriac": sys.modules["celeriac"].__file__,
    "plain": answers(TestClient(plain.app)),
}))
"""


@pytest.mark.parametrize("form", FORMS)
def test_an_app_of_your_own_runs_a_task_over_http(
    environment: MakeEnvironment, tmp_path: Path, form: str
) -> None:
    """The task reaches SUCCESS through a real worker, and the app's own routes are unchanged."""
    python = environment("api", "worker", "local")
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "__init__.py").touch()
    (tmp_path / "tasks" / "count_words.py").write_text(TASK)
    (tmp_path / "plain.py").write_text(OWN_APP)
    (tmp_path / "web.py").write_text(FORMS[form])
    (tmp_path / "driver.py").write_text(DRIVER)
    clean = {
        name: value
        for name, value in os.environ.items()
        if name not in {"PYTHONPATH", "VIRTUAL_ENV"} and not name.startswith(("AWS_", "CELERIAC_"))
    }
    done = subprocess.run(
        [str(python), "driver.py"],
        cwd=tmp_path,
        env={**clean, "CELERIAC_CONCURRENCY": "1"},
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert Path(found["celeriac"]).is_relative_to(python.parents[1])
    assert (found["task"]["status"], found["task"]["result"]) == ("SUCCESS", {"words": 3})
    assert found["location"] == f"/background/tasks/{found['task']['task_id']}"
    assert found["refused"] == ["application/problem+json", "/background/problems/invalid"]
    assert found["script"] == (200 if form == "mount" else 404)
    assert found["ours"] == found["plain"]
    assert [status for status, _ in found["plain"]] == [200, 422, 404]
