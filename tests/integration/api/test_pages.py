"""The pages on delays, priorities, pauses and tenants do what they say, in curl and in Python."""

from __future__ import annotations

import json
import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from celeriac import clock
from celeriac.contract import catalogue
from celeriac.http.app import create_app
from celeriac.operations import pausing
from celeriac.settings import Settings, settings
from celeriac.storage.services import services
from celeriac.topology import LONGEST_DELAY
from tests.architecture.pages import ROOT, code_blocks, curls
from tests.integration.api.conftest import Api

HOST = "http://127.0.0.1:8000"
DELAYS, PRIORITIES, PAUSING, TENANTS = (
    ROOT / f"docs/{name}.md" for name in ("delays", "priorities", "pausing", "tenants")
)


@pytest.fixture
def api(aws: Settings) -> Api:
    """A caller of the built-in task types."""
    return Api.of(create_app(catalogue=catalogue()), settings().tenant)


def send(api: Api, command: str, **variables: str) -> httpx.Response:
    """Send what curl would, with the shell's variables filled in."""
    text = command.replace("\\\n", " ")
    for name, value in variables.items():
        text = text.replace(f"${name}", value)
    words = shlex.split(text)
    [url] = [word for word in words if word.startswith(HOST)]
    options: dict[str, Any] = {}
    if "-d" in words:
        options = {
            "content": words[words.index("-d") + 1],
            "headers": {"Content-Type": "application/json"},
        }
    method = words[words.index("-X") + 1] if "-X" in words else "POST"
    return api(method, url.removeprefix(HOST), **options)


def run(page: Path) -> dict[str, Any]:
    """Run the page's Python; its names."""
    names: dict[str, Any] = {}
    for block in code_blocks("python", page):
        if block.text.startswith("from "):
            exec(compile(block.text, str(page), "exec"), names)
    return names


def test_a_task_is_delayed_and_cancelled_as_the_page_says(api: Api) -> None:
    """Both are kept by a schedule each; the second is cancelled, and its schedule stays."""
    by_delay, by_time, cancellation = curls(DELAYS)
    now = datetime.now(UTC)
    when = f"{now + timedelta(days=30):%Y-%m-%dT06:00:00Z}"

    first = send(api, by_delay)
    second = send(api, by_time, WHEN=when)
    third = send(api, cancellation, TASK_ID=second.json()["task_id"])

    assert [each.status_code for each in (first, second, third)] == [202, 202, 200]
    due = datetime.fromisoformat(first.json()["due_at"])
    assert abs(due - now - timedelta(hours=2)) < timedelta(minutes=1)
    assert datetime.fromisoformat(second.json()["due_at"]) == datetime.fromisoformat(when)
    assert api.get(f"/tasks/{second.json()['task_id']}").json()["status"] == "REVOKED"
    schedules = services().scheduler.list_schedules()["Schedules"]
    assert {second.json()["task_id"], first.json()["task_id"]} <= {
        each["Name"].rpartition("-")[0] for each in schedules
    }


def test_the_python_on_delays_cancels_what_is_due_later(api: Api) -> None:
    """The task ends at once."""
    later = run(DELAYS)["later"].record

    assert (later.due_at or 0) - clock.now() > clock.millis(LONGEST_DELAY)
    assert api.get(f"/tasks/{later.task_id}").json()["status"] == "REVOKED"


def test_urgent_tasks_are_sent_to_the_lane_of_urgent_ones(api: Api) -> None:
    """By the page's command and by its Python."""
    [command] = curls(PRIORITIES)
    before = waiting_urgent(api)

    answer = send(api, command)
    run(PRIORITIES)

    assert answer.status_code == 202, answer.text
    assert answer.json()["priority"] == "high"
    assert waiting_urgent(api) == before + 2


def waiting_urgent(api: Api) -> int:
    [queue] = [each for each in api.get("/queues").json()["data"] if each["name"] == "default"]
    urgent: int = queue["high"]
    return urgent


def test_a_queue_and_a_type_are_paused_and_resumed_by_the_pages_commands(api: Api) -> None:
    """Each pause holds until its resume, with its reason."""
    shown = []
    for command in curls(PAUSING):
        assert send(api, command).is_success
        shown.append([(each.kind, each.name, each.reason) for each in pausing.paused().pauses])

    assert shown == [
        [("queue", "email", "The provider is down")],
        [],
        [("type", "send-email", None)],
        [],
    ]


def test_a_quota_is_refused_as_the_page_shows(
    api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The answer has the members of the page's answer, and Python the same sentence."""
    [command] = curls(TENANTS)
    [shown] = [json.loads(each.text) for each in code_blocks("json", TENANTS)]
    monkeypatch.setenv("CELERIAC_WAITING_PER_TENANT", "1")
    limited = Api.of(create_app(Settings(), catalogue()))

    answers = [send(limited, command) for _ in range(2)]

    assert [each.status_code for each in answers] == [202, 429]
    assert set(shown) <= set(answers[1].json())
    assert answers[1].json()["type"].endswith(shown["type"])
    assert (answers[1].json()["quota"], answers[1].json()["limit"]) == ("waiting_per_tenant", 1)
