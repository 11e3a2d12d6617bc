"""Each schedule that a task type declares is deployed as a schedule of EventBridge."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk.assertions import Template

from celeriac import BaseModel, Celeriac, Schedule, Settings, TaskContext, task
from celeriac.app.declared import declared
from celeriac.cdk import Sources, TaskData
from celeriac.cdk.beat_schedule import BeatUnreadableError
from celeriac.contract import Catalogue, Queue
from celeriac.storage.event_bridge import envelope
from infra.cdk.environments import DEV, PROD
from tests.infra.conftest import ROOT

END = datetime(2099, 1, 1, tzinfo=UTC)


class Nothing(BaseModel):
    pass


@task(
    schedule=(
        Schedule.cron("0 6 * * MON-FRI", timezone="Europe/Moscow", end=END),
        Schedule.rate(timedelta(hours=1)),
        Schedule.at(datetime(2098, 1, 1, tzinfo=UTC)),
        Schedule.at(datetime(2001, 1, 1, tzinfo=UTC)),
    )
)
def tick(payload: Nothing, context: TaskContext) -> Nothing:
    """Do nothing."""
    return Nothing()


def deployed(catalogue: Catalogue, sources: Sources) -> dict[str, Any]:
    """The properties of each schedule, by its id."""
    stack = Stack(App(), "stack")
    TaskData(stack, environment=DEV, catalogue=catalogue, sources=sources)
    found = Template.from_stack(stack).find_resources("AWS::Scheduler::Schedule").values()
    return {
        each["Properties"]["Name"].removeprefix("celeriac-dev-"): each["Properties"]
        for each in found
    }


def test_no_two_deployments_have_a_name_in_common() -> None:
    """CloudFormation takes a name once in an account and region, whatever its group.

    The id of ``another`` is as long as EventBridge allows.
    """
    another = replace(tick, name="a" * 59, aliases=())
    names: list[str] = []
    for each in (DEV, PROD):
        stack = Stack(App(), each.name)
        types = Catalogue([tick, another], [Queue("default")])
        TaskData(stack, environment=each, catalogue=types, sources=Sources.of(ROOT))
        found = Template.from_stack(stack).find_resources("AWS::Scheduler::Schedule").values()
        names += (each["Properties"]["Name"] for each in found)

    assert len(names) == len(set(names)) == 2 * 7
    assert all(re.fullmatch("[0-9a-zA-Z_.-]{1,64}", each) for each in names)


def test_every_deployment_is_repaired_each_hour() -> None:
    """Also one without a task type, and one with a type of its own that is named ``cleanup``."""
    own = replace(tick, name="cleanup", aliases=())
    for catalogue in (Catalogue([]), Catalogue([own])):
        repair = deployed(catalogue, Sources.of(ROOT))["repair"]

        assert repair["ScheduleExpression"] == "rate(1 hour)"
        assert repair["GroupName"] == "celeriac-dev"
        assert json.loads(repair["Target"]["Input"]) == {"celeriac": "repair", "grace_seconds": 900}
        assert "celeriac-dev-fire" in json.dumps(repair["Target"]["Arn"])
        assert "SchedulesRole" in json.dumps(repair["Target"]["RoleArn"])
        assert repair["Target"].keys() >= {"DeadLetterConfig", "RetryPolicy"}


def test_each_declared_schedule_that_still_fires_is_deployed() -> None:
    """Cron, rate and one time call the fire function; a time that has passed is left out."""
    found = deployed(Catalogue([tick], [Queue("default")]), Sources.of(ROOT))

    del found["repair"]
    assert {name: each["ScheduleExpression"] for name, each in found.items()} == {
        f"type-tick{suffix}": schedule.expression
        for suffix, schedule in zip(("", "-2", "-3"), tick.schedules, strict=False)
    }
    assert found["type-tick"]["ScheduleExpressionTimezone"] == "Europe/Moscow"
    assert found["type-tick"]["EndDate"] == "2099-01-01T00:00:00.000Z"
    for name, each in found.items():
        assert each["GroupName"] == "celeriac-dev"
        assert each["FlexibleTimeWindow"] == {"Mode": "OFF"}
        assert each["Target"]["Input"] == envelope(name)
        assert "celeriac-dev-fire" in json.dumps(each["Target"]["Arn"])
        assert each["Target"].keys() >= {"RoleArn", "DeadLetterConfig", "RetryPolicy"}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A project with a Celery app of its own, as the tutorial has it."""
    package = tmp_path / "shop"
    package.mkdir()
    (tmp_path / "pyproject.toml").write_text('[tool.celeriac]\napp = "shop.app:app"\n')
    (package / "app.py").write_text(
        "from celery.schedules import crontab\n"
        "from celeriac import Celeriac, Queue\n"
        "app = Celeriac('shop', include=['shop.tasks'], queues=[Queue('email'), Queue('night')])\n"
        "app.conf.timezone = 'Europe/Moscow'\n"
        "app.conf.task_routes = {'shop.tasks.send': {'queue': 'email'}}\n"
        "app.conf.beat_schedule = {\n"
        "    'mails': {'task': 'shop.tasks.send', 'schedule': 600.0, 'args': ['ada', 7]},\n"
        "    'clean-up': {'task': 'shop.tasks.clean', 'schedule': crontab(hour=3, minute=0),\n"
        "                 'kwargs': {'days': 30}, 'options': {'expires': 900}},\n"
        "}\n"
    )
    (package / "tasks.py").write_text(
        "from shop.app import app\n"
        "@app.task\n"
        "def send(name, count):\n    pass\n"
        "@app.task(queue='night', priority=9)\n"
        "def clean(days):\n    pass\n"
    )
    return tmp_path


def test_a_beat_schedule_is_deployed_as_it_stands(shop: Path) -> None:
    """The project's app is asked; a task type's schedules are deployed next to it."""
    found = deployed(Catalogue([tick], [Queue("default")]), Sources.of(shop))

    assert found.keys() == {
        "repair",
        "type-tick",
        "type-tick-2",
        "type-tick-3",
        "beat-mails",
        "beat-clean-up",
    }
    assert found["beat-mails"]["ScheduleExpression"] == "rate(10 minutes)"
    assert found["beat-clean-up"]["ScheduleExpression"] == "cron(0 3 * * ? *)"
    assert found["beat-clean-up"]["ScheduleExpressionTimezone"] == "Europe/Moscow"
    assert found["beat-clean-up"]["Target"]["Input"] == envelope("beat-clean-up")


def test_the_functions_know_a_beat_schedule_without_the_app(shop: Path, tmp_path: Path) -> None:
    """Queue, arguments and options are those that the app's routes and tasks give."""
    sources = Sources.of(shop)
    code = tmp_path / "code"
    code.mkdir()
    sources.copy_for_function(code)

    assert not (code / "shop").exists()
    settings = Settings(beat_file=code / sources.function_variables["CELERIAC_BEAT_FILE"])
    functions = Celeriac("functions", settings=settings, catalogue=Catalogue([]))
    mails, clean_up = declared(functions)
    assert (mails.schedule_id, mails.type) == ("beat-mails", "shop.tasks.send")
    assert (mails.args, mails.kwargs) == (["ada", 7], {})
    assert mails.options["queue"] == "email"
    assert mails.where == "beat_schedule['mails']"
    assert clean_up.kwargs == {"days": 30}
    assert clean_up.options.items() >= {"queue": "night", "priority": 9, "expires": 900}.items()
    assert clean_up.schedule == Schedule.cron(
        "0 3 * * *", timezone="Europe/Moscow", priority="high"
    )


def test_a_beat_schedule_that_cannot_be_read_is_told_when_it_is_deployed(shop: Path) -> None:
    """By the last line of what its import raises."""
    (shop / "shop" / "app.py").write_text("beat_schedule = 1\nraise RuntimeError('no database')\n")

    with pytest.raises(BeatUnreadableError, match="RuntimeError: no database"):
        _ = Sources.of(shop).beat


def test_a_beat_schedule_in_capitals_is_found(shop: Path) -> None:
    """Settings with a namespace have it so, as Django's do."""
    (shop / "shop" / "settings.py").write_text(
        "CELERY_BEAT_SCHEDULE = {'mails': {'task': 'shop.send', 'schedule': 600.0}}\n"
    )
    (shop / "shop" / "app.py").write_text(
        "from celeriac import Celeriac\n"
        "app = Celeriac('shop')\n"
        "app.config_from_object('shop.settings', namespace='CELERY')\n"
    )

    assert [each.schedule_id for each in Sources.of(shop).beat] == ["beat-mails"]


def test_an_app_without_periodic_tasks_is_not_imported(shop: Path) -> None:
    """It may need variables that only a deployment has."""
    (shop / "shop" / "app.py").write_text("raise RuntimeError('no database')\n")
    (shop / "shop" / "link.py").symlink_to("nowhere")
    (shop / ".venv").mkdir()
    (shop / ".venv" / "other.py").write_text("beat_schedule = 1\n")

    assert Sources.of(shop).beat == ()
    assert "CELERIAC_BEAT_FILE" not in Sources.of(shop).function_variables
