"""An operator's view of the queues: what is in them, why, and what becomes of it."""

from __future__ import annotations

import asyncio
import json
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from celery import chord

from celeriac import states
from celeriac.app.factory import CeleriacApp
from celeriac.http.app import create_app
from celeriac.operations import dead_letters, queues
from celeriac.operations.dead_letters import Fate
from celeriac.records import Failure
from celeriac.settings import settings
from celeriac.storage.keys import Scope
from celeriac.storage.services import services
from tasks.queues import DEFAULT
from tests.integration.operations.conftest import StartWorker, record_of, wait_for_end
from tests.integration.operations.throwaway import CATALOGUE, note
from tests.integration.processes import wait_for

NOBODYS = "somebody-else"


class Client:
    """The HTTP API, with a key of these scopes."""

    def __init__(self, *scopes: Scope, tenant: str = "default") -> None:
        secret = f"cel_{uuid.uuid4()}"
        services().keys.register(secret, name="test", tenant=tenant, scopes=scopes)
        self._transport = httpx.ASGITransport(create_app(catalogue=CATALOGUE))
        self._headers = {"Authorization": f"Bearer {secret}"}

    def get(self, path: str, status: int = 200) -> Any:
        return asyncio.run(self._call("GET", path, status))

    def post(self, path: str, status: int = 200) -> Any:
        return asyncio.run(self._call("POST", path, status))

    async def _call(self, method: str, path: str, status: int) -> Any:
        async with httpx.AsyncClient(
            transport=self._transport, base_url="http://api", headers=self._headers
        ) as client:
            answer = await client.request(method, path)
        assert answer.status_code == status, answer.text
        return answer.json()


def dead_letters_of(app: CeleriacApp) -> list[dead_letters.DeadLetter]:
    return dead_letters.look(DEFAULT, app=app)


def redrive(app: CeleriacApp) -> dead_letters.Redriven:
    return dead_letters.redrive(DEFAULT, app=app)


def bury(task_id: str, *, failure: Failure | None = None) -> None:
    """Move the only message of the queue to its dead-letter queue, as SQS or a worker would."""
    sqs = services().sqs
    url = settings().queue_url(DEFAULT)
    [message] = sqs.receive_message(QueueUrl=url)["Messages"]
    dead_letter_url = settings().dead_letter_url(DEFAULT)
    sqs.send_message(QueueUrl=dead_letter_url, MessageBody=message["Body"])
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    if failure is not None:
        services().records.finish(task_id, None, states.FAILURE, failure=failure)


def waiting_bodies(url: str) -> list[str]:
    answer = services().sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0, WaitTimeSeconds=0
    )
    return [each["Body"] for each in answer.get("Messages", [])]


def test_a_dead_letter_is_shown_redriven_and_run(
    app: CeleriacApp, start_worker: StartWorker, tmp_path: Path
) -> None:
    """A task that no worker knew runs to SUCCESS once one does, as a new task."""
    old_worker = start_worker(unknown=("note",))
    notes = tmp_path / "notes"
    old = app.send_task("note", ({"path": str(notes)},))
    assert wait_for_end(old.id).state == states.FAILURE
    wait_for(lambda: dead_letters_of(app) != [], "the dead letter")
    client = Client(Scope.ADMIN)

    [shown] = client.get("/queues/default")["dead_letter_sample"]
    assert (shown["task_id"], shown["type"], shown["redrive"]) == (old.id, "note", "new-task")
    assert shown["why"]["type"] == "unknown-task-type"
    assert "'note'" in shown["why"]["message"]
    listed = {each["name"]: each for each in client.get("/queues")["data"]}
    assert [name for name, each in listed.items() if each["dead_letters"]] == ["default"]

    assert old_worker.stop() == 0
    start_worker()
    answer = client.post("/queues/default/redrive")

    assert list(answer["new_tasks"]) == [old.id]
    assert answer["finished"]
    new = wait_for_end(answer["new_tasks"][old.id])
    assert (new.state, new.retry_of) == (states.SUCCESS, old.id)
    assert notes.read_text() == "done\n"
    assert record_of(old.id).state == states.FAILURE
    assert dead_letters_of(app) == []


def test_looking_takes_nothing_out(app: CeleriacApp) -> None:
    """Dead letters are there to be looked at again, and to be redriven at once."""
    sent = app.send_task("note", ({"path": ""},))
    bury(sent.id)

    first = dead_letters_of(app)
    assert dead_letters_of(app) == first
    assert [each.task_id for each in first] == [sent.id]
    assert redrive(app).sent_again == [sent.id]


def test_redriving_twice_starts_one_task(app: CeleriacApp) -> None:
    """A redrive that crashed before it deleted the dead letter leads to the same new task."""
    old = app.send_task("note", ({"path": ""},))
    bury(old.id, failure=Failure(type="worker-lost", message="3 workers were lost"))
    [body] = waiting_bodies(settings().dead_letter_url(DEFAULT))
    first = redrive(app).new_tasks[old.id]

    services().sqs.send_message(QueueUrl=settings().dead_letter_url(DEFAULT), MessageBody=body)

    assert redrive(app).new_tasks == {old.id: first}
    assert record_of(first).retry_of == old.id


def test_a_task_that_still_waits_gets_its_message_back(
    app: CeleriacApp, start_worker: StartWorker, tmp_path: Path
) -> None:
    """What SQS moved, having seen it too often, runs under its own id."""
    sent = app.send_task("note", ({"path": str(tmp_path / "notes")},))
    bury(sent.id)
    [letter] = dead_letters_of(app)
    assert (letter.why.type, letter.fate) == ("received-too-often", Fate.SEND_AGAIN)

    assert redrive(app).sent_again == [sent.id]

    start_worker()
    assert wait_for_end(sent.id).state == states.SUCCESS


@pytest.mark.parametrize("state", [states.SUCCESS, states.REVOKED])
def test_what_has_ended_is_not_run_again(app: CeleriacApp, state: str) -> None:
    """The late duplicate of a task that has ended is removed, and starts nothing."""
    sent = app.send_task("note", ({"path": ""},))
    bury(sent.id)
    services().records.finish(sent.id, None, state)
    [letter] = dead_letters_of(app)
    assert (letter.why.type, letter.fate) == ("duplicate", Fate.REMOVE)

    done = redrive(app)

    assert (done.removed, done.new_tasks, done.sent_again) == (1, {}, [])
    assert dead_letters_of(app) == []
    assert waiting_bodies(settings().queue_url(DEFAULT)) == []


def test_a_dead_letter_whose_record_expired_runs_from_its_message(
    app: CeleriacApp, start_worker: StartWorker, tmp_path: Path
) -> None:
    """SQS keeps dead letters for longer than the table keeps records."""
    notes = tmp_path / "notes"
    old = app.send_task("note", ({"path": str(notes)},))
    bury(old.id)
    services().dynamodb.delete_item(
        TableName=settings().table_name, Key={"pk": {"S": f"task#{old.id}"}, "sk": {"S": "task"}}
    )

    new = redrive(app).new_tasks[old.id]

    start_worker()
    assert wait_for_end(new).state == states.SUCCESS
    assert notes.read_text() == "done\n"


def test_what_still_cannot_run_stays_and_is_named(app: CeleriacApp) -> None:
    """Undecodable, of a newer version, of an unknown type, invalid: each says what is wrong."""
    url = settings().dead_letter_url(DEFAULT)
    invalid = app.send_task("note", ({"path": 7},))
    bury(invalid.id, failure=Failure(type="invalid-payload", message="not valid"))
    unknown = app.send_task("nobody-knows", ({},))
    bury(unknown.id, failure=Failure(type="unknown-task-type", message="unknown"))
    newer = app.send_task("note", ({"path": ""},))
    bury(newer.id, failure=Failure(type="unknown-version", message="newer"))
    bodies = [json.loads(body) for body in waiting_bodies(url)]
    [envelope] = [body for body in bodies if body["headers"]["id"] == newer.id]
    envelope["headers"]["celeriac"]["v"] = 3
    services().sqs.purge_queue(QueueUrl=url)
    for body in [*(each for each in bodies if each is not envelope), envelope]:
        services().sqs.send_message(QueueUrl=url, MessageBody=json.dumps(body))
    services().sqs.send_message(QueueUrl=url, MessageBody="not JSON")

    done = redrive(app)

    assert (done.new_tasks, done.sent_again, done.removed) == ({}, [], 0)
    obstacles = {letter.task_id: letter.obstacle or "" for letter in done.stay}
    assert "path" in obstacles[invalid.id]
    assert "'nobody-knows'" in obstacles[unknown.id]
    assert "version 3" in obstacles[newer.id]
    assert "can't be decoded" in obstacles[None]
    assert len(dead_letters_of(app)) == 4, "they are visible again at once"


def test_a_redrive_goes_on_while_it_is_given_only_what_stays(
    app: CeleriacApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes longer than what stays is hidden, and SQS hands that out again before the rest."""
    stays = app.send_task("nobody-knows", ({},))
    bury(stays.id, failure=Failure(type="unknown-task-type", message="unknown"))
    receive = queues.receive
    rounds: list[Any] = []

    def receive_again(url: str, *, hidden_for: timedelta) -> Any:
        received = receive(url, hidden_for=hidden_for)
        rounds.append(received)
        if len(rounds) == 1:
            services().sqs.change_message_visibility(
                QueueUrl=url, ReceiptHandle=received[0]["ReceiptHandle"], VisibilityTimeout=0
            )
        if len(rounds) == 2:
            runs = app.send_task("note", ({"path": ""},))
            bury(runs.id, failure=Failure(type="worker-lost", message="lost"))
        return received

    monkeypatch.setattr(dead_letters, "receive", receive_again)

    done = redrive(app)

    assert done.finished
    assert [len(received) for received in rounds] == [1, 1, 1, 0]
    assert len(done.new_tasks) == 1
    assert [letter.task_id for letter in done.stay] == [stays.id]
    assert [letter.task_id for letter in dead_letters_of(app)] == [stays.id]


def test_a_purge_ends_what_waits_and_leaves_what_runs(
    app: CeleriacApp, start_worker: StartWorker, tmp_path: Path
) -> None:
    """Waiting tasks are REVOKED and never run; running ones go on; delayed ones stay."""
    door = tmp_path / "door"
    running = [app.send_task("stay", ({"path": str(door)},)) for _ in range(2)]
    start_worker()
    wait_for(lambda: all(record_of(each.id).running for each in running), "both to run")
    notes = tmp_path / "notes"
    waiting = {app.send_task("note", ({"path": str(notes)},)).id for _ in range(12)}
    delayed = app.send_task("note", ({"path": str(notes)},), countdown=600)

    answer = Client(Scope.ADMIN).post("/queues/default/purge")

    assert answer["finished"]
    assert set(answer["revoked"]) == waiting
    assert answer["removed"] == len(waiting)
    assert {record_of(each).state for each in waiting} == {states.REVOKED}
    assert record_of(delayed.id).state == states.PENDING
    [found] = queues.status([DEFAULT])
    assert (found.waiting, found.in_flight, found.delayed) == (0, 2, 1)
    door.touch()
    assert {wait_for_end(each.id).state for each in running} == {states.SUCCESS}
    assert not notes.exists()


def test_a_purge_tells_the_chord(app: CeleriacApp, start_worker: StartWorker) -> None:
    """A chord whose member was purged fails, and does not wait for it forever."""
    task = app.tasks["note"]
    body = task.s({"path": ""})
    result = chord([task.s({"path": ""}), task.s({"path": ""})])(body)

    done = queues.purge(DEFAULT, app=app)

    assert len(done.revoked) == 2
    assert record_of(result.id).state == states.FAILURE


def test_a_purge_of_dead_letters_leaves_the_queue(app: CeleriacApp) -> None:
    """Dead letters can be thrown away without touching what waits."""
    dead = app.send_task("note", ({"path": ""},))
    bury(dead.id, failure=Failure(type="worker-lost", message="lost"))
    services().sqs.send_message(
        QueueUrl=settings().dead_letter_url(DEFAULT), MessageBody="not JSON"
    )
    waiting = app.send_task("note", ({"path": ""},))

    answer = Client(Scope.ADMIN).post("/queues/default/purge?dead_letters=true")

    assert answer == {"removed": 2, "revoked": [], "finished": True}
    assert record_of(waiting.id).state == states.PENDING
    assert dead_letters_of(app) == []


def test_a_purge_without_time_says_that_it_is_not_finished(app: CeleriacApp) -> None:
    """A caller that waits for an answer gets one in time, and is told to ask again."""
    app.send_task("note", ({"path": ""},))

    assert not queues.purge(DEFAULT, within=-note.time_limit, app=app).finished
    assert queues.purge(DEFAULT, within=note.time_limit, app=app).finished


def test_the_age_of_the_oldest_message_is_cloudwatchs(app: CeleriacApp) -> None:
    """SQS doesn't tell it: it is the metric's newest value, and null where there is none."""
    client = Client(Scope.READ)
    app.send_task("note", ({"path": ""},))
    assert client.get("/queues/default")["oldest_age_seconds"] is None

    services().cloudwatch.put_metric_data(
        Namespace="AWS/SQS",
        MetricData=[
            {
                "MetricName": "ApproximateAgeOfOldestMessage",
                "Dimensions": [{"Name": "QueueName", "Value": "celeriac-default"}],
                "Timestamp": datetime.now(UTC) - age,
                "Value": value,
            }
            for age, value in ((timedelta(minutes=2), 42), (timedelta(minutes=4), 7))
        ],
    )

    assert client.get("/queues/default")["oldest_age_seconds"] == 42
    assert client.get("/queues/email")["oldest_age_seconds"] is None, "it is empty"


def test_only_an_administrator_acts_and_tenants_see_their_own(app: CeleriacApp) -> None:
    """Counts are everybody's; another tenant's dead letters, purge and redrive are not."""
    sent = app.send_task("note", ({"path": ""},))
    bury(sent.id)

    other = Client(Scope.READ, Scope.SUBMIT, Scope.CANCEL, tenant=NOBODYS)
    found = other.get("/queues/default")
    assert (found["dead_letters"], found["dead_letter_sample"]) == (1, [])
    for action in ("redrive", "purge"):
        assert other.post(f"/queues/default/{action}", 403)["scope"] == "admin"
    [shown] = Client(Scope.READ).get("/queues/default")["dead_letter_sample"]
    assert shown["task_id"] == sent.id


@pytest.mark.parametrize("path", ["", "/redrive", "/purge"])
def test_an_unknown_queue_is_not_found(app: CeleriacApp, path: str) -> None:
    """The answer names the queues that there are."""
    client = Client(Scope.ADMIN)
    ask = client.post if path else client.get

    answer = ask(f"/queues/nobodys{path}", 404)

    assert "default" in answer["detail"]


def test_commands_do_the_same(app: CeleriacApp) -> None:
    """``python -m celeriac queues`` lists, shows, redrives and purges."""
    from tests.integration.operations.test_workers import ask, run

    sent = app.send_task("note", ({"path": ""},))
    bury(sent.id, failure=Failure(type="worker-lost", message="3 workers were lost"))

    counts = {each["name"]: each["dead_letters"] for each in ask("queues", "list")}
    assert counts["default"] == 1
    assert "worker-lost: 3 workers were lost" in run("queues", "dead-letters", "default")
    [new] = ask("queues", "redrive", "default")["new_tasks"].values()
    assert ask("queues", "purge", "default", "--yes") == {"removed": 1, "revoked": [new]}
    assert record_of(new).state == states.REVOKED
