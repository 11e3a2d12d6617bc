"""docs/postgres.md: its project runs as the page shows it, with a real Postgres."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest

from celeriac.cdk import Sources
from tests.architecture.pages import ROOT, code_blocks
from tests.integration.postgres import HOST, Postgres, programs, running
from tests.integration.processes import wait_for
from tests.integration.test_readme import free_port

PAGE = ROOT / "docs/postgres.md"
#: What the page asks for, such as Debian's package ``postgresql``.
SERVER = programs()
pytestmark = pytest.mark.skipif(
    SERVER is None, reason="no Postgres is installed: apt-get install postgresql"
)

#: What `celeriac dev` does for AWS and for its key: it runs until its input ends.
SERVE = """\
import json, sys
from pathlib import Path
from celeriac import catalogue
from celeriac.local.aws import AwsServer
from celeriac.local.environment import aws_variables, enter, settings_at
from celeriac.local.provision import provision
from celeriac.storage import keys
from celeriac.storage.services import services

with AwsServer() as aws:
    variables = aws_variables(aws.endpoint)
    enter(variables)
    settings = settings_at(aws.endpoint)
    provision(settings, catalogue())
    Path(".local").mkdir()
    key = keys.generate()
    Path(".local/api-key").write_text(key)
    services().keys.register(key, name="page", tenant=settings.tenant, scopes=keys.Scope)
    print(json.dumps({**variables, **settings.to_environment()}), flush=True)
    sys.stdin.read()
"""


def block(language: str, first: str) -> str:
    """The page's only block of a language with this first line."""
    (found,) = [
        each.text for each in code_blocks(language, PAGE) if each.text.splitlines()[0] == first
    ]
    return found


class Project:
    """A folder with the page's files and ``.env``, and AWS and the API for it."""

    def __init__(self, folder: Path, postgres: Postgres) -> None:
        self.folder = folder
        self.postgres = postgres
        self.port = free_port()
        self.started: list[subprocess.Popen[Any]] = []
        for each in code_blocks("python", PAGE):
            if each.path:
                path = folder / each.path
                path.parent.mkdir(exist_ok=True)
                path.write_text(each.text)
        (folder / "tasks/__init__.py").touch()
        text = block("ini", "# .env")
        (folder / ".env").write_text(f"{text}DATABASE_PORT={postgres.port}\n")
        self.database = dict(line.split("=") for line in text.splitlines()[1:])
        # The library alone: this repository's own `tasks` are no part of the project.
        (folder / "library").mkdir()
        (folder / "library/celeriac").symlink_to(ROOT / "celeriac")
        self.variables = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AWS_", "CELERIAC_", "DATABASE_"))
        }
        self.variables |= {
            "NO_PROXY": HOST,
            # A poll of a worker that has ended may still take a message.
            "CELERIAC_VISIBILITY": "PT15S",
            "PYTHONPATH": os.pathsep.join(map(str, (folder, folder / "library"))),
        }

    def create_table(self) -> None:
        """The user, the database and the table, by the page's own names and file."""
        its = self.database
        with self.postgres.connect() as connection:
            password = its["DATABASE_PASSWORD"]
            connection.run(f"CREATE ROLE {its['DATABASE_USER']} LOGIN PASSWORD '{password}'")
            connection.run(f"CREATE DATABASE {its['DATABASE_NAME']} OWNER {its['DATABASE_USER']}")
        with self.connect() as connection:
            connection.run(block("sql", "-- orders.sql"))

    def connect(self) -> Any:
        its = self.database
        return self.postgres.connect(
            user=its["DATABASE_USER"],
            password=its["DATABASE_PASSWORD"],
            database=its["DATABASE_NAME"],
        )

    def rows(self, task_id: str) -> list[list[object]]:
        with self.connect() as connection:
            found: list[list[object]] = connection.run(
                "SELECT number, customer, cents FROM orders WHERE task_id = :id", id=task_id
            )
        return found

    def start(
        self,
        name: str,
        *arguments: str,
        cwd: Path | None = None,
        variables: Mapping[str, str] | None = None,
        stdout: int | None = None,
    ) -> subprocess.Popen[Any]:
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=cwd or self.folder,
                env=self.variables | dict(variables or {}),
                stdin=subprocess.PIPE,
                stdout=stdout or log,
                stderr=log,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def serve(self) -> None:
        """AWS and the API. The API runs where neither ``.env`` nor the driver can be found."""
        answer = self.start("aws", "-c", SERVE, stdout=subprocess.PIPE).stdout
        assert answer is not None
        line = answer.readline()
        assert line, self.logs()
        self.variables |= json.loads(line)
        elsewhere = self.folder / "elsewhere"
        elsewhere.mkdir()
        api = (
            "import sys; sys.modules['pg8000'] = None; import uvicorn; uvicorn.run("
            f"'celeriac.http.app:create_app', factory=True, port={self.port})"
        )
        self.start("api", "-c", api, cwd=elsewhere)
        wait_for(self.ready, "the API to start")

    def ready(self) -> bool:
        assert all(each.poll() is None for each in self.started), self.logs()
        try:
            return self.ask("/health/ready").is_success
        except httpx.TransportError:
            return False

    def ask(self, path: str) -> httpx.Response:
        key = (self.folder / ".local/api-key").read_text()
        return httpx.get(
            f"http://{HOST}:{self.port}{path}",
            headers={"Authorization": f"Bearer {key}"},
            trust_env=False,
            timeout=120,
        )

    def submit(self) -> str:
        """Submit a task by the page's own command."""
        command = block("sh", "KEY=$(cat .local/api-key)").replace(
            "http://127.0.0.1:8000", f"http://{HOST}:{self.port}"
        )
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.variables,
            check=True,
            capture_output=True,
            text=True,
            timeout=120,
        )
        return str(json.loads(done.stdout)["task_id"])

    @property
    def queue(self) -> Any:
        """The page's queue, without its worker."""
        sqs = boto3.resource(
            "sqs",
            endpoint_url=self.variables["AWS_ENDPOINT_URL"],
            region_name="us-east-1",
            aws_access_key_id="local",
            aws_secret_access_key="local",
        )
        return sqs.Queue(self.variables["CELERIAC_QUEUE_URL_PREFIX"] + "orders")

    def is_empty(self) -> bool:
        """Whether the queue has no message, not even one that a worker holds."""
        counts = self.queue.attributes
        return not any(
            int(counts[f"ApproximateNumberOfMessages{state}"]) for state in ("", "NotVisible")
        )

    def outcome(self, task_id: str) -> dict[str, Any]:
        """The task's record once it has ended."""

        def ended() -> bool:
            assert all(each.poll() is None for each in self.started), self.logs()
            record.update(self.ask(f"/tasks/{task_id}?wait=5").json())
            return record["status"] in {"SUCCESS", "FAILURE"}

        record: dict[str, Any] = {}
        wait_for(ended, f"the task to end\n{self.logs()}")
        return record

    def end(self, process: subprocess.Popen[Any]) -> None:
        self.started.remove(process)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()

    def logs(self) -> str:
        return "\n".join(path.read_text() for path in self.folder.glob("*.log"))

    def run(
        self, code: str, *, cwd: Path | None = None, variables: Mapping[str, str] | None = None
    ) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=cwd or self.folder,
            env=self.variables | dict(variables or {}),
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    assert SERVER is not None
    with running(SERVER, free_port()) as postgres:
        yield postgres


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> Iterator[Project]:
    project = Project(tmp_path_factory.mktemp("project"), postgres)
    try:
        project.create_table()
        project.serve()
        yield project
    finally:
        for each in reversed(project.started):
            project.end(each)


@pytest.fixture
def image(project: Project, tmp_path: Path) -> Path:
    """What the workers' image holds, with the database's certificates where the page puts them."""
    (project.folder / "tasks/rds.pem").write_bytes(project.postgres.certificate.read_bytes())
    (project.folder / "tasks/.env").write_text("DATABASE_HOST=nowhere.invalid\n")
    app = tmp_path / "app"
    Sources.of(project.folder).copy_for_workers(app)
    return app


@pytest.fixture
def deployed(project: Project) -> dict[str, str]:
    """The variables of the workers on AWS, as the page names them there."""
    return project.database | {
        "DATABASE_PORT": str(project.postgres.port),
        "DATABASE_CERTIFICATES": "tasks/rds.pem",
    }


def test_a_task_that_is_delivered_twice_writes_one_row(project: Project) -> None:
    """Over HTTP to SUCCESS, with the settings of ``.env``; the second message does no harm."""
    task_id = project.submit()
    (message,) = project.queue.receive_messages(VisibilityTimeout=0, MessageAttributeNames=["All"])
    worker = project.start("worker", "-m", "celeriac.worker")
    try:
        record = project.outcome(task_id)
        wait_for(project.is_empty, "the message to be gone")
        project.queue.send_message(
            MessageBody=message.body, MessageAttributes=message.message_attributes or {}
        )
        wait_for(project.is_empty, "its copy to be gone")
    finally:
        project.end(worker)

    assert record["status"] == "SUCCESS", record
    assert project.rows(task_id) == [[record["result"]["number"], "Ada", 1990]]


def test_an_attempt_finds_the_row_of_one_whose_worker_died(project: Project) -> None:
    """The first attempt wrote, and could no longer say so. The second returns the same number."""
    task_id = project.submit()
    with project.connect() as connection:
        [[number]] = connection.run(
            "INSERT INTO orders (task_id, customer, cents) VALUES (:id, 'Ada', 1990)"
            " RETURNING number",
            id=task_id,
        )
    worker = project.start("second", "-m", "celeriac.worker")
    try:
        record = project.outcome(task_id)
    finally:
        project.end(worker)

    assert record["result"] == {"number": number}, record
    assert project.rows(task_id) == [[number, "Ada", 1990]]


def test_workers_of_the_image_read_variables_and_check_the_server(
    project: Project, image: Path, deployed: dict[str, str]
) -> None:
    """Without ``.env``: the image has no hidden file, and has the certificates."""
    assert not list(image.rglob(".*"))
    task_id = project.submit()
    worker = project.start(
        "image",
        *("-m", "celeriac.worker"),
        cwd=image,
        variables={**deployed, "PYTHONPATH": str(image)},
    )
    try:
        record = project.outcome(task_id)
    finally:
        project.end(worker)

    assert record["status"] == "SUCCESS", record
    assert len(project.rows(task_id)) == 1


def test_a_server_with_another_certificate_is_refused(
    project: Project, tmp_path: Path, deployed: dict[str, str]
) -> None:
    """``DATABASE_CERTIFICATES`` names whom the connection trusts, and nobody else."""
    other = tmp_path / "other.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-nodes", "-newkey", "rsa:2048", "-subj", "/CN=other"),
            *("-keyout", str(tmp_path / "key.pem"), "-out", str(other)),
        ],
        check=True,
        capture_output=True,
    )
    said = project.run(
        "from tasks.record_order import connect\n"
        "try:\n    connect()\nexcept Exception as error:\n    print(repr(error))",
        variables={**deployed, "DATABASE_CERTIFICATES": str(other)},
    )

    assert "CERTIFICATE_VERIFY_FAILED" in said


def test_the_settings_are_the_same_from_the_file_and_from_variables(
    project: Project, tmp_path: Path
) -> None:
    """One class reads both; the password is shown by neither."""
    code = (
        "from tasks.record_order import settings\n"
        "its = settings()\nprint(its)\nprint(its.password.get_secret_value())"
    )
    from_file = project.run(code)
    variables = project.database | {"DATABASE_PORT": str(project.postgres.port)}

    assert from_file == project.run(code, cwd=tmp_path, variables=variables)
    shown, password = from_file.splitlines()
    assert password == project.database["DATABASE_PASSWORD"]
    assert password not in shown
    assert f"port={project.postgres.port}" in shown


def test_a_missing_variable_is_named(project: Project, tmp_path: Path) -> None:
    """The error that the page's table tells of, without the values of the others."""
    variables = {**project.database}
    del variables["DATABASE_HOST"]
    said = project.run(
        "from tasks.record_order import settings\n"
        "try:\n    settings()\nexcept ValueError as error:\n    print(error)",
        cwd=tmp_path,
        variables=variables,
    )

    assert re.search(r"host\n\s+Field required", said)
    assert project.database["DATABASE_PASSWORD"] not in said


def test_a_connection_that_broke_is_replaced(project: Project) -> None:
    """An error ends the process's connection, and the next use connects again."""
    code = """
from tasks.record_order import connect, database
with database() as connection:
    [[first]] = connection.run("SELECT pg_backend_pid()")
with database() as connection:
    [[same]] = connection.run("SELECT pg_backend_pid()")
try:
    with database() as connection:
        connection.run("SELECT pg_terminate_backend(pg_backend_pid())")
except Exception as error:
    pass
with database() as connection:
    [[next]] = connection.run("SELECT pg_backend_pid()")
print(first == same, first == next)
"""

    assert project.run(code).split() == ["True", "False"]


def test_the_pages_own_test_passes(project: Project) -> None:
    """A reader copies it next to the task, and runs it against the database of ``.env``."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *("-c", os.devnull, "--rootdir", ".", "tests"),
        ],
        cwd=project.folder,
        env=project.variables,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
