"""A kept schedule that is damaged, or that a newer version wrote, hides no other."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from celeriac import Schedule, schedules
from celeriac.cli.main import app as cli
from celeriac.marshalling import marshal
from celeriac.operations.schedules import list_all
from celeriac.storage.schedule_items import ScheduleUnreadableError
from celeriac.storage.services import services
from celeriac.topology import FIRINGS, SCHEDULES_OF
from tests.integration.api.conftest import Api, problem
from tests.integration.api.schedule_support import (
    NOON,
    create,
    fire,
    history,
    on_aws,
    own_app,
    same_types,
    tasks,
)

__all__ = ["same_types"]  # a fixture of every test here

REMOVED = object()
#: Each is wrong for every attribute that has it.
STRANGE: tuple[Any, ...] = (REMOVED, {"a": 1}, 10**37)
DAMAGES = [
    *(
        (name, value)
        for name in (
            "kind",
            "when",
            "timezone",
            "overlap",
            "payload",
            "tags",
            "paused",
            "created_at",
            "version",
        )
        for value in STRANGE
        if (name, value) != ("version", 10**37)
    ),
    ("kind", "lunar"),
    ("when", "61 6 * * *"),
    ("when", 86_400_000),
    ("timezone", "Moon/Tycho"),
    ("start", "tomorrow"),
    ("end", 10**37),
    ("end", 0),
    ("overlap", "queue"),
    ("priority", "urgent"),
    ("payload", "{"),
    ("payload", "[]"),
    ("tags", [1]),
    ("paused", "yes"),
    ("created_at", "today"),
    ("version", "2"),
]


def damage(tenant: str, schedule_id: str, name: str, value: Any) -> None:
    key = {"pk": f"{SCHEDULES_OF}{tenant}", "sk": schedule_id}
    put(key, name, value)


def put(key: dict[str, str], name: str, value: Any) -> None:
    client, table = services().dynamodb, services().settings.table_name
    update = "REMOVE #name" if value is REMOVED else "SET #name = :value"
    more: Any = (
        {} if value is REMOVED else {"ExpressionAttributeValues": marshal({":value": value})}
    )
    client.update_item(
        TableName=table,
        Key=marshal(key),
        UpdateExpression=update,
        ExpressionAttributeNames={"#name": name},
        **more,
    )


@pytest.mark.parametrize(
    ("name", "value"), DAMAGES, ids=[f"{name}-{value!r:.12}" for name, value in DAMAGES]
)
def test_others_are_listed_and_it_can_be_deleted(
    api: Api, caplog: pytest.LogCaptureFixture, name: str, value: Any
) -> None:
    """A log line names it. To look at it is a 500, since the fault is ours."""
    before, bad, after = (create(api)["schedule_id"] for _ in range(3))
    damage(api.tenant, bad, name, value)

    listed = [each["schedule_id"] for each in api.get("/schedules").json()["data"]]
    assert listed == sorted((before, after))
    assert bad in caplog.text
    problem(api.get(f"/schedules/{bad}"), 500, "internal")
    assert api.delete(f"/schedules/{bad}").status_code == 204
    assert on_aws(bad) is None
    problem(api.get(f"/schedules/{bad}"), 404, "schedule-not-found")
    caplog.clear()
    assert len(api.get("/schedules").json()["data"]) == 2
    assert bad not in caplog.text


def test_pages_are_whole_around_it(api: Api) -> None:
    """A page has as many as it was asked for, however many can't be read."""
    made = sorted(create(api)["schedule_id"] for _ in range(7))
    for each in made[1:6:2]:
        damage(api.tenant, each, "kind", "lunar")
    found, here = [], "/schedules?limit=2"
    while here:
        page = api.get(here).json()
        found.append([each["schedule_id"] for each in page["data"]])
        cursor = page["next_cursor"]
        here = f"/schedules?limit=2&cursor={cursor}" if cursor else ""
    assert found == [[made[0], made[2]], [made[4], made[6]]]


def test_it_fires_no_task_and_the_call_fails(api: Api) -> None:
    """EventBridge calls again, and an alarm tells: the next deployment may be able to read it."""
    view = create(api)
    damage(api.tenant, view["schedule_id"], "kind", "lunar")
    with pytest.raises(ScheduleUnreadableError, match="Deploy the version that wrote it"):
        fire(api, view)
    assert tasks(api) == []


def test_python_and_the_command_line_list_the_others(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And delete it."""
    app = own_app()
    for module in ("schedules", "scheduling"):
        monkeypatch.setattr(f"celeriac.operations.{module}.celery_app", lambda: app)
    hourly = Schedule.rate(timedelta(hours=1), payload={"name": "Ada"})
    good, bad = (
        schedules.create("greet", hourly, tenant=api.tenant, app=app).schedule_id for _ in range(2)
    )
    damage(api.tenant, bad, "payload", "{")
    with caplog.at_level(logging.ERROR):
        assert [each.schedule_id for each in list_all(api.tenant, app=app)] == [good]
    assert bad in caplog.text
    done = CliRunner().invoke(cli, ["schedules", "list", "--tenant", api.tenant])
    assert (done.exit_code, good in done.output) == (0, True)
    done = CliRunner().invoke(cli, ["schedules", "delete", bad, "--tenant", api.tenant])
    assert done.exit_code == 0, done.output
    assert on_aws(bad) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [("outcome", "postponed"), ("outcome", REMOVED), ("fired_at", REMOVED), ("scheduled_at", {})],
)
def test_an_entry_of_the_history_hides_no_other(api: Api, name: str, value: Any) -> None:
    """The schedule goes on."""
    view = create(api)
    for day in range(3):
        fire(api, view, NOON + timedelta(days=day))
    moment = int((NOON + timedelta(days=2)).timestamp() * 1000)
    key = {"pk": f"{FIRINGS}{api.tenant}/{view['schedule_id']}", "sk": f"{moment:013d}"}
    put(key, name, value)
    assert len(history(api, view)) == 2
    fire(api, view, NOON + timedelta(days=3))
    assert [each["outcome"] for each in history(api, view)] == ["fired"] * 3
