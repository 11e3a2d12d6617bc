"""Tasks that run for weeks, and chords whose members end weeks apart, end as others do."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from celery import chord

from celeriac import clock, states
from celeriac.app.factory import Celeriac
from celeriac.operations import maintenance
from celeriac.operations.maintenance import repair
from celeriac.storage.services import services
from celeriac.storage.values import INLINE_LIMIT, ITEM_LIMIT
from celeriac.topology import GROUPS
from tests.unit.delivery.single_worker import SingleWorker
from tests.unit.expiring import Passing

GRACE = timedelta(minutes=15)


def groups() -> list[dict[str, Any]]:
    """The items of all groups, and of their joins."""
    own = services()
    items = own.dynamodb.scan(TableName=own.settings.table_name)["Items"]
    return [dict(each) for each in items if each["pk"]["S"].startswith(GROUPS)]


@pytest.mark.parametrize("size", [1, INLINE_LIMIT, ITEM_LIMIT])
def test_the_body_gets_what_members_gave_long_before(
    app: Celeriac, worker: SingleWorker, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """The first ends at once; the last is paused for twice ``record_ttl``."""
    monkeypatch.setattr(maintenance, "celery_app", lambda: app)
    passing = Passing(monkeypatch)
    ran: list[int] = []

    @app.task(name="say", shared=False)
    def say(letter: str) -> str:
        return letter * size

    @app.task(name="joined", shared=False)
    def joined(texts: list[str]) -> list[int]:
        ran.append(1)
        return [len(text) for text in texts]

    body = chord([say.s("a"), say.s("b"), say.s("c")], joined.s()).delay()
    worker.begin(worker.take())
    for _ in range(5):
        passing.advance(timedelta(days=3))
        repair(GRACE)
    worker.show_all()
    worker.run_all()

    assert body.get(timeout=60) == [size] * 3
    assert ran == [1]


@pytest.mark.parametrize("size", [1000, ITEM_LIMIT + 1])
def test_a_task_that_runs_for_weeks_can_say_so_and_keeps_its_result(
    app: Celeriac, worker: SingleWorker, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """The attempt read the record when it began: that one's end has passed."""
    monkeypatch.setattr(maintenance, "celery_app", lambda: app)
    passing = Passing(monkeypatch)
    said: list[Any] = []

    @app.task(name="dig", shared=False, bind=True)
    def dig(self: Any) -> str:
        for _ in range(5):
            passing.advance(timedelta(days=3))
            repair(GRACE)
        self.update_state(state="DIGGING", meta={"found": "x" * size})
        passing.advance(timedelta(days=3))
        said.append(result.info)
        repair(GRACE)
        return "y" * size

    result = dig.delay()
    worker.run(worker.take())
    passing.advance(timedelta(days=3))

    assert said == [{"found": "x" * size}]
    assert result.get(timeout=60) == "y" * size


def test_a_join_lasts_as_long_as_its_group(app: Celeriac, worker: SingleWorker) -> None:
    """A member may be due in a year, and the others' ends count all that time."""
    chord([app.tasks["double"].s(1), app.tasks["double"].s(2)], app.tasks["total"].s()).delay()
    worker.begin(worker.take())

    ends = [int(each["expires_at"]["N"]) for each in groups()]

    assert len(ends) == 2
    assert max(ends) - min(ends) < 60
    assert min(ends) > clock.now() // 1000 + 365 * 86_400
    worker.show_all()
    worker.run_all()


def test_nothing_of_a_chord_is_left_once_its_body_is_sent(
    app: Celeriac, worker: SingleWorker
) -> None:
    """Neither its group nor its join, which would be kept for a year otherwise."""
    body = chord([app.tasks["double"].s(each) for each in range(3)], app.tasks["total"].s()).delay()
    worker.run_all()

    assert body.get(timeout=60) == 6
    assert groups() == []


@pytest.mark.parametrize("members", [1, 3])
def test_a_member_that_joins_after_the_end_sends_no_second_body(
    app: Celeriac, worker: SingleWorker, monkeypatch: pytest.MonkeyPatch, members: int
) -> None:
    """It had found the group before another member removed group and join."""
    ran: list[int] = []

    @app.task(name="joined", shared=False)
    def joined(numbers: list[int]) -> int:
        ran.append(1)
        return sum(numbers)

    body = chord([app.tasks["double"].s(each) for each in range(members)], joined.s()).delay()
    requests = [worker.take() for _ in range(members)]
    header = app.backend.restore_group(requests[0].request_dict["group"], cache=False)
    for each in requests:
        worker.run(each)
    worker.run_all()
    assert groups() == []

    monkeypatch.setattr(app.backend, "restore_group", lambda *_, **__: header)
    for each in requests:
        app.backend.on_chord_part_return(each._context, states.SUCCESS, None)
    worker.run_all()

    assert body.get(timeout=60) == sum(2 * each for each in range(members))
    assert ran == [1]
