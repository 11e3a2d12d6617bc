"""How many requests each caller has made in this minute."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest

from celeriac import clock
from celeriac.clock import Millis
from celeriac.marshalling import unmarshal
from celeriac.settings import Settings
from celeriac.storage.requests import WINDOW, Requests
from celeriac.storage.services import services
from tests.unit.engine.meter import metered
from tests.unit.engine.support import START, Timer

LIMIT = 3
#: A whole minute of the clock begins here.
MINUTE: Millis = START - START % 60_000


@pytest.fixture
def timer() -> Timer:
    return Timer(MINUTE)


@pytest.fixture
def requests(aws: Settings, timer: Timer) -> Requests:
    return Requests(services().dynamodb, aws.table_name, clock=timer)


@pytest.fixture
def caller() -> str:
    return uuid.uuid4().hex


def test_the_limit_is_let_through_and_no_more(requests: Requests, caller: str) -> None:
    """The first over it is told to wait for the rest of the minute."""
    assert [requests.admit(caller, LIMIT) for _ in range(LIMIT)] == [None] * LIMIT
    assert requests.admit(caller, LIMIT) == WINDOW
    assert requests.admit(caller, LIMIT) == WINDOW


@pytest.mark.parametrize("milliseconds", [0, 1, 59_000, 59_999])
def test_the_wait_ends_with_the_minute(
    requests: Requests, caller: str, timer: Timer, milliseconds: int
) -> None:
    """After that wait, and not before, the caller is let through again."""
    timer.advance(timedelta(milliseconds=milliseconds))
    assert requests.admit(caller, 1) is None
    wait = requests.admit(caller, 1)
    assert wait == WINDOW - timedelta(milliseconds=milliseconds)

    timer.advance(wait - timedelta(milliseconds=1))
    assert requests.admit(caller, 1) == timedelta(milliseconds=1)
    timer.advance(timedelta(milliseconds=1))
    assert requests.admit(caller, 1) is None


def test_each_caller_has_a_limit_of_its_own(requests: Requests, caller: str) -> None:
    """One that is over it keeps no other out."""
    assert requests.admit(caller, 1) is None
    assert requests.admit(caller, 1) is not None
    assert requests.admit(f"{caller}-other", 1) is None


def test_processes_count_together(
    requests: Requests, caller: str, timer: Timer, aws: Settings
) -> None:
    """What one has let through, the other doesn't."""
    other = Requests(services().dynamodb, aws.table_name, clock=timer)
    let_through = [each.admit(caller, LIMIT) is None for each in (requests, other) * LIMIT]

    assert let_through.count(True) == LIMIT


def test_clocks_that_differ_by_a_second_pass_no_limit(
    requests: Requests, caller: str, timer: Timer, aws: Settings
) -> None:
    """At the turn of a minute one process is in the next: each minute still has its limit."""
    ahead = Requests(services().dynamodb, aws.table_name, clock=lambda: timer() + 1000)
    timer.advance(WINDOW - timedelta(milliseconds=500))
    let_through = 0
    for _ in range(4):
        for each in (requests, ahead):
            let_through += sum(each.admit(caller, LIMIT) is None for _ in range(LIMIT))
        timer.advance(timedelta(milliseconds=250))

    assert let_through == 2 * LIMIT


def test_a_request_is_one_write_and_a_refused_caller_none(requests: Requests, caller: str) -> None:
    """One unit a request, no read, and after one refusal nothing for the rest of the minute."""
    with metered() as bill:
        for _ in range(LIMIT):
            requests.admit(caller, LIMIT)
        assert bill.requests == {"dynamodb:UpdateItem": LIMIT}
        assert bill.units.total() == bill.units["table"] == LIMIT
        for _ in range(100):
            requests.admit(caller, LIMIT)
        assert bill.requests == {"dynamodb:UpdateItem": LIMIT + 1}


def test_a_count_is_an_item_of_its_own_and_expires(
    requests: Requests, caller: str, aws: Settings
) -> None:
    """DynamoDB removes it some time after its minute, for nothing."""
    for _ in range(LIMIT + 1):
        requests.admit(caller, LIMIT)

    key = {"pk": {"S": f"requests#{caller}"}, "sk": {"S": str(MINUTE // 1000)}}
    stored = services().dynamodb.get_item(TableName=aws.table_name, Key=key)["Item"]
    values = unmarshal(stored)
    assert values["requests"] == LIMIT
    assert MINUTE // 1000 + 60 < values["expires_at"] <= MINUTE // 1000 + 600


def test_the_refused_are_remembered_for_their_minute_only(requests: Requests, timer: Timer) -> None:
    """A process that lives for long keeps no caller of an earlier minute in memory."""
    for each in range(50):
        requests.admit(f"caller-{each}", 1)
        requests.admit(f"caller-{each}", 1)
    assert len(requests._refused) == 50
    timer.advance(WINDOW)
    for _ in range(2):
        requests.admit("one-more", 1)
    assert list(requests._refused) == ["one-more"]


def test_other_windows_count_on_their_own(requests: Requests, caller: str, timer: Timer) -> None:
    """What is limited by the day is refused until midnight, UTC."""
    day = timedelta(days=1)
    timer.now -= timer.now % clock.millis(day)
    assert [requests.admit(caller, 1, day) for _ in range(2)] == [None, day]
    timer.advance(day - timedelta(seconds=1))
    assert requests.admit(caller, 1, day) == timedelta(seconds=1)
    timer.advance(timedelta(seconds=1))
    assert requests.admit(caller, 1, day) is None
