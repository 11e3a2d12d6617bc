"""README, the tutorial and the how-to pages: their commands and files, as they are, in a clone."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.architecture.pages import ROOT, code_blocks, curls

README = ROOT / "README.md"
ADDING = ROOT / "docs/adding-a-task.md"
TUTORIAL = ROOT / "docs/tutorial.md"
FILES = ROOT / "docs/files.md"
FROM_PYTHON = ROOT / "docs/from-python.md"
START_SECONDS = 240
TASK_SECONDS = 120


@dataclass(frozen=True)
class Clone:
    """A directory that a reader works in, with a stack running in it."""

    directory: Path
    url: str

    def shell(self, command: str, **variables: str) -> str:
        """What a command prints that a reader pastes. The port is this stack's."""
        answer = subprocess.run(
            ["bash", "-ec", command.replace("http://127.0.0.1:8000", self.url)],
            check=False,
            cwd=self.directory,
            env={**os.environ, "KEY": self.key, "NO_PROXY": "127.0.0.1", **variables},
            capture_output=True,
            text=True,
            timeout=TASK_SECONDS,
        )
        assert answer.returncode == 0, answer.stderr
        return answer.stdout

    def curl(self, *fragments: str, page: Path = README, **variables: str) -> dict[str, Any]:
        """The answer to a page's curl command that has these fragments."""
        command = only(curls(page), *fragments)
        answer: dict[str, Any] = json.loads(self.shell(command, **variables))
        return answer

    def upload_and_submit(self, endpoint: str) -> dict[str, Any]:
        """The answer to the block that uploads a file and names it in a payload."""
        blocks = [block.text for block in code_blocks("sh", FILES)]
        upload, submit = only(blocks, "upload()"), only(blocks, endpoint, "$(upload ")
        answer: dict[str, Any] = json.loads(self.shell(upload + submit))
        return answer

    def download(self, url: str, name: str) -> Path:
        """The file that the page's command to download an artifact has written."""
        self.shell(only(curls(FILES), "-L"), URL=url)
        (path,) = self.directory.glob("thumbnail.*")
        return path.rename(self.directory / name)

    def python(self, code: str) -> list[str]:
        """The lines that code prints in a shell that has sourced the stack's settings."""
        command = '. .local/env; exec "$PYTHON" -c "$CODE"'
        return self.shell(command, PYTHON=sys.executable, CODE=code).splitlines()

    def follow(self, task_id: str) -> dict[str, Any]:
        """The task once it has ended, by the README's command to follow it."""
        give_up_at = time.monotonic() + TASK_SECONDS
        while time.monotonic() < give_up_at:
            task = self.curl("?wait=20", TASK_ID=task_id)
            if task["status"] in ("SUCCESS", "FAILURE", "REVOKED"):
                return task
        raise AssertionError(f"the task has not ended: {task}")

    @property
    def key(self) -> str:
        return (self.directory / ".local/api-key").read_text().strip()


def only(texts: list[str], *fragments: str) -> str:
    """The one text that has all the fragments."""
    (found,) = (each for each in texts if all(fragment in each for fragment in fragments))
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """A clone with the files in it that a reader saves, in which ``make run``'s program runs."""
    directory = tmp_path_factory.mktemp("clone")
    for room in ROOT.glob("*/__init__.py"):
        shutil.copytree(
            room.parent,
            directory / room.parent.name,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    shutil.copytree(ROOT / "docs", directory / "docs")
    for block in [
        each for page in (README, ADDING, TUTORIAL) for each in code_blocks("python", page)
    ]:
        if block.path and not block.path.startswith("tests/"):
            (directory / block.path).write_text(block.text)
    ports = {"API_PORT": str(free_port()), "AWS_PORT": str(free_port())}
    output = directory / "output"
    with output.open("w") as file:
        stack = subprocess.Popen(
            [sys.executable, "-m", "celeriac", "dev"],
            cwd=directory,
            env={**os.environ, **ports, "CELERIAC_INCLUDE": "ledger"},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    url = f"http://127.0.0.1:{ports['API_PORT']}"
    try:
        give_up_at = time.monotonic() + START_SECONDS
        while not ready(url):
            assert stack.poll() is None, output.read_text()
            assert time.monotonic() < give_up_at, output.read_text()
            time.sleep(0.2)
        yield Clone(directory, url)
    finally:
        stack.terminate()
        stack.wait(timeout=START_SECONDS)


def ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/ready", trust_env=False, timeout=5).is_success
    except httpx.TransportError:
        return False


def test_a_task_is_followed_to_its_result(clone: Clone) -> None:
    """The submitted task is PENDING, then says how far it is, then has a result."""
    accepted = clone.curl("/tasks/long-running", '"total_steps": 10')
    ended = clone.follow(accepted["task_id"])

    assert accepted["status"] == "PENDING"
    assert ended["status"] == "SUCCESS"
    assert ended["progress"]["current"] == ended["progress"]["total"] == 10
    assert ended["result"]["distinct"] == 2


def test_a_running_task_is_cancelled(clone: Clone) -> None:
    """The DELETE ends the task that the README submits."""
    task_id = clone.curl("/tasks/long-running", '"total_steps": 10')["task_id"]

    clone.curl("-X DELETE", TASK_ID=task_id)

    assert clone.follow(task_id)["status"] == "REVOKED"


def test_a_repeated_request_gives_the_same_task(clone: Clone) -> None:
    """The command with an idempotency key, given twice, submits one task."""
    first = clone.curl("Idempotency-Key")
    second = clone.curl("Idempotency-Key")

    assert second["task_id"] == first["task_id"]


def test_a_file_is_uploaded_processed_and_downloaded(clone: Clone) -> None:
    """The picture's size is found, and the thumbnail behind the artifact's link is a picture."""
    accepted = clone.upload_and_submit("/tasks/process-file")
    result = clone.follow(accepted["task_id"])["result"]
    (thumbnail,) = result["artifacts"]
    path = clone.download(thumbnail["url"], thumbnail["name"])

    with Image.open(ROOT / "docs/tasks/process-file.png") as original:
        found = result["metadata"]["image"]
        assert (found["width"], found["height"]) == original.size
    with Image.open(path) as image:
        image.load()
        assert max(image.size) == 256
        assert image.format == "WEBP"
    assert path.stat().st_size == thumbnail["size"]


def test_a_report_is_made_of_an_uploaded_table(clone: Clone) -> None:
    """The figures are the table's, in the result and in the JSON; the PDF is one."""
    accepted = clone.upload_and_submit("/tasks/generate-report")
    result = clone.follow(accepted["task_id"])["result"]
    pdf, xlsx, figures = (clone.download(each["url"], each["name"]) for each in result["artifacts"])

    assert result["figures"]["revenue"] == 180.5
    assert result["figures"]["refunds"] == -20
    assert json.loads(figures.read_text())["figures"] == result["figures"]
    assert pdf.read_bytes().startswith(b"%PDF-")
    assert xlsx.suffix == ".xlsx"
    assert zipfile.is_zipfile(xlsx)


def test_a_task_type_of_ones_own_has_an_endpoint(clone: Clone) -> None:
    """The file saved in ``tasks/`` is an operation of the API, documented and working."""
    operations = httpx.get(f"{clone.url}/openapi.json", trust_env=False).json()["paths"]
    accepted = clone.curl("/tasks/count-words")

    assert operations["/tasks/count-words"]["post"]["summary"] == "Count the words of a text"
    assert clone.follow(accepted["task_id"])["result"] == {
        "total": 7,
        "words": {"the": 2, "quick": 1, "fox": 1},
    }


def test_the_tutorials_task_adds_up_an_order(clone: Clone) -> None:
    """Its command gives the result that the page shows."""
    accepted = clone.curl("/tasks/total-order", page=TUTORIAL)

    result = clone.follow(accepted["task_id"])["result"]

    assert result == {"products": 1, "price": "9.00"}
    assert json.dumps(result) in TUTORIAL.read_text()


def test_a_failed_upload_is_an_error(clone: Clone) -> None:
    """The function for the shell says so, and prints no file_key."""
    (upload,) = (each.text for each in code_blocks("sh", FILES) if "upload()" in each.text)

    with pytest.raises(AssertionError, match="401"):
        clone.shell(upload + "upload output text/plain", KEY="cel_wrong")


def test_python_submits_and_uses_celerys_canvas(clone: Clone) -> None:
    """The examples for Python run in a shell that has sourced the stack's settings."""
    submit, canvas = (block.text for block in code_blocks("python", FROM_PYTHON))

    task_id, replayed = clone.python(submit)[0].split()
    group, chord, chain = clone.python(canvas)

    assert replayed == "False"
    assert clone.python(submit) == [f"{task_id} True"]
    assert group.count("'total': 2") == 3
    assert "'recipients': ['ada@example.com']" in chord
    assert chain == "{'total': 1, 'words': {'second': 1}}"


def test_a_plain_celery_task_is_followed_over_http(clone: Clone) -> None:
    """A shared task of an included module runs, and its record can be read as any other's."""
    (use,) = (
        block.text
        for block in code_blocks("python", ADDING)
        if block.path is None and "import total" in block.text
    )

    result, task_id = clone.python(use)
    task = clone.follow(task_id)
    (_, elsewhere) = clone.python(
        use.replace("delay([1, 2, 3])", 'apply_async(([1, 2, 3],), queue="reports")')
    )

    assert result == "6"
    assert (task["type"], task["queue"], task["status"]) == ("ledger.total", "default", "SUCCESS")
    assert task["result"] == 6
    assert clone.follow(elsewhere)["queue"] == "reports"


def test_a_plain_celery_task_in_tasks_needs_no_setting(clone: Clone) -> None:
    """A shared task of a module in ``tasks/`` is the app's, like a task type."""
    shutil.copy(clone.directory / "ledger.py", clone.directory / "tasks")
    code = "from celeriac.app.factory import celery_app; print(*celery_app().tasks)"

    assert "tasks.ledger.total" in clone.python(code)[0].split()
