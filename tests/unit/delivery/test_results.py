"""What tasks give: plain JSON for callers over HTTP, Python's values for Celery's."""

from __future__ import annotations

import json
import math
import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest
from celery import chain, chord, group
from hypothesis import given
from hypothesis import strategies as st
from kombu.exceptions import EncodeError

from celeriac import states
from celeriac.app import encoding
from celeriac.app.encoding import DEEPEST, ResultNotJsonError
from celeriac.app.factory import Celeriac
from celeriac.operations import lookup
from celeriac.storage.services import services
from celeriac.transport.call import MARKER
from tests.unit.delivery.single_worker import SingleWorker

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
ID = uuid.UUID("01890000-0000-7000-8000-000000000000")
PAIRS: list[tuple[Any, Any]] = [
    (Decimal("1.10"), "1.10"),
    (Decimal("NaN"), "NaN"),
    (MOMENT, "2026-01-02T03:04:05.000678+00:00"),
    (MOMENT.replace(tzinfo=None), "2026-01-02T03:04:05.000678"),
    (date(2026, 1, 2), "2026-01-02"),
    (time(3, 4), "03:04:00"),
    (timedelta(days=1, seconds=1, microseconds=1), "PT86401.000001S"),
    (timedelta(seconds=-10), "-PT10S"),
    (ID, str(ID)),
    (b"caf\xc3\xa9", "café"),
    (b"\xff\x00", "/wA="),
    ({3, 1, 2}, [1, 2, 3]),
    (frozenset({"b", "a"}), ["a", "b"]),
    ({Decimal(1), Decimal(2)}, ["1", "2"]),
    (float("inf"), None),
    ("a\ud800b", "a\ufffdb"),
    ({"\udfff": 1}, {"\ufffd": 1}),
    ({"rows": [{"price": Decimal("9.99"), "at": MOMENT}]}, {
        "rows": [{"price": "9.99", "at": "2026-01-02T03:04:05.000678+00:00"}]
    }),
    ([{"__type__": "x", "__value__": 1}, Decimal(1)], [{"__type__": "x", "__value__": 1}, "1"]),
    ({"__type__": "decimal", "__value__": "1"}, {"__type__": "decimal", "__value__": "1"}),
    ({"__type__": MARKER, "__value__": "{"}, {"__type__": MARKER, "__value__": "{"}),
    ("NaN and Infinity", "NaN and Infinity"),
    ("日本 \U0001f600 \x00", "日本 \U0001f600 \x00"),
]  # fmt: skip

#: Python makes no text of an integer of more than 4,300 digits.
DIGITS = pytest.param(10**5000, id="digits")


@pytest.fixture
def giving(app: Celeriac) -> list[Any]:
    """What the task ``give`` gives."""
    values: list[Any] = []

    @app.task(name="give", shared=False)
    def give(*_: Any) -> Any:
        return values[0]

    @app.task(name="keep", shared=False)
    def keep(value: Any) -> Any:
        return value

    return values


def shown(task_id: str) -> Any:
    """A result as the HTTP API reads it."""
    return lookup.outcome_of(lookup.find(task_id))


def in_order(value: Any) -> str:
    """A value as Python writes it, with the members of sets in order."""
    if isinstance(value, list):
        return f"[{', '.join(map(in_order, value))}]"
    if isinstance(value, set | frozenset):
        return f"{type(value).__name__}({sorted(value, key=repr)!r})"
    return repr(value)


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize(("value", "over_http"), PAIRS)
def test_a_result_is_plain_json_over_http_and_itself_for_celery(
    app: Celeriac, worker: SingleWorker, giving: list[Any], value: Any, over_http: Any, large: bool
) -> None:
    """In the record, next to it, or in S3, whose document callers are given as it is."""
    filler = ["é" * 20_000] if large else []
    giving.append([value, *filler])

    result = app.tasks["give"].delay()
    worker.run_all()

    assert result.state == states.SUCCESS
    # By what is written: NaN equals nothing, and 1 equals True. A set has no order.
    assert in_order(result.get()) == in_order([value, *filler])
    assert shown(result.id) == [over_http, *filler]
    document = lookup.outcome_text(lookup.find(result.id))
    strict = json.loads(document, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert strict["result"] == [over_http, *filler]
    document.encode()


@pytest.mark.parametrize("value", [Decimal("1.10"), MOMENT, ID, {1, 2}, b"\xff", timedelta(1)])
def test_a_canvas_passes_pythons_values(
    app: Celeriac, worker: SingleWorker, giving: list[Any], value: Any
) -> None:
    """To the next step of a chain, to a chord's body, and as arguments."""
    giving.append(value)
    give, keep = app.tasks["give"], app.tasks["keep"]
    results = [
        chain(give.s(), keep.s()).delay(),
        chord([give.s(), give.s()], keep.s()).delay(),
        group(give.s()).delay(),
        keep.delay(value),
    ]
    worker.run_all()

    assert [each.get() for each in results] == [value, [value] * 2, [value], value]


@pytest.mark.parametrize("depth", [1, 100, DEEPEST, DEEPEST + 1, 900, 5_000])
def test_a_result_is_as_deep_as_every_reader_can_follow(
    app: Celeriac, worker: SingleWorker, giving: list[Any], depth: int
) -> None:
    """A deeper one is the task's failure, which says so."""
    value: Any = []
    for _ in range(depth - 1):
        value = [value]
    giving.append(value)

    result = app.tasks["give"].delay()
    worker.run_all()

    record = lookup.find(result.id)
    if depth <= DEEPEST:
        assert record.state == states.SUCCESS
        assert result.get() == value
    else:
        assert record.failure is not None
        assert (record.state, record.failure.type) == (states.FAILURE, "result-not-json")
        assert "500 levels" in record.failure.message


def deep(levels: int) -> Any:
    value: Any = []
    for _ in range(levels - 1):
        value = [value]
    return value


@pytest.mark.parametrize("how", ["args", "kwargs", "chain", "group"])
@pytest.mark.parametrize("value", [object(), {("a",): 1}, DIGITS, deep(600), deep(5_000)])
def test_arguments_that_no_json_can_hold_are_refused_when_they_are_sent(
    app: Celeriac, worker: SingleWorker, how: str, value: Any
) -> None:
    """In a sentence; nothing is sent, and no record is left."""
    double, task_id = app.tasks["double"], f"refused-{how}"
    signatures = {
        "args": double.s(value),
        "kwargs": double.signature(kwargs={"number": value}),
        "chain": chain(double.s(value), double.s()),
        "group": group(double.s(value)),
    }

    with pytest.raises(EncodeError, match=r"can't be kept as JSON: .*\.$"):
        signatures[how].apply_async(task_id=task_id)

    assert services().records.get(task_id) is None
    assert worker.run_all() == 0


@pytest.mark.parametrize("value", ["a\ud800b", {"\udfff": [Decimal("1.10")]}, deep(400)])
def test_arguments_that_python_alone_has_arrive(
    app: Celeriac, worker: SingleWorker, giving: list[Any], value: Any
) -> None:
    """As they were passed."""
    result = app.tasks["keep"].delay(value)
    worker.run_all()

    assert result.get() == value


def looped() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    "value", [object(), {("a", "b"): 1}, {Decimal(1): 1}, looped(), DIGITS, 1j, str]
)
def test_what_no_json_can_hold_is_the_tasks_failure(
    app: Celeriac, worker: SingleWorker, giving: list[Any], value: Any
) -> None:
    """Its message says what to return instead."""
    giving.append(value)

    result = app.tasks["give"].delay()
    worker.run_all()

    record = lookup.find(result.id)
    assert record.failure is not None
    assert (record.state, record.failure.type) == (states.FAILURE, "result-not-json")
    assert isinstance(result.result, ResultNotJsonError | Exception)
    assert worker.visible() + worker.hidden() == 0


@pytest.mark.parametrize("argument", [object(), "a\ud800b", looped(), Decimal("1.1"), {1}, DIGITS])
def test_an_error_is_kept_whatever_it_holds(
    app: Celeriac, worker: SingleWorker, argument: Any
) -> None:
    """Its class and message, even if its arguments can't be."""

    @app.task(name="raises", shared=False)
    def raises() -> None:
        raise ValueError(argument)

    result = raises.delay()
    worker.run_all()

    record = services().records.get(result.id)
    assert record is not None
    assert record.failure is not None
    assert (record.state, record.failure.type) == (states.FAILURE, "ValueError")
    assert isinstance(result.result, ValueError)


class Wordless(Exception):
    """An error of the author's own, which can't say anything."""

    @property
    def type(self) -> str:
        raise RuntimeError

    def __str__(self) -> str:
        raise RuntimeError


def test_an_error_that_can_say_nothing_is_kept(app: Celeriac, worker: SingleWorker) -> None:
    """Its class tells what happened, and the message isn't received again."""

    @app.task(name="raises", shared=False)
    def raises() -> None:
        raise Wordless

    result = raises.delay()
    worker.run_all()

    failure = lookup.find(result.id).failure
    assert failure is not None
    assert failure.type == "Wordless"
    assert failure.message == "The text of this Wordless can't be made: RuntimeError."
    assert worker.visible() + worker.hidden() == 0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
VALUES = st.recursive(
    JSON
    | st.decimals(allow_nan=False)
    | st.datetimes()
    | st.dates()
    | st.uuids()
    | st.binary()
    | st.timedeltas()
    | st.sets(st.integers())
    | st.text(st.characters(codec=None))
    | st.floats(allow_nan=False),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text(st.characters(codec=None)), inner)
        | st.fixed_dictionaries({"__type__": st.text(), "__value__": JSON})
    ),
    max_leaves=20,
)


@given(VALUES)
def test_any_value_comes_back(value: Any) -> None:
    """And its text is JSON that every reader understands."""
    text = encoding.to_text(value, traceback="\ud800")

    text.encode()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert encoding.from_text(text)["result"] == value


@given(JSON)
def test_what_is_json_is_kept_once(value: Any) -> None:
    """Only another value has a second form."""
    text = encoding.to_text(value)

    if "NaN" not in text and "Infinity" not in text and not _infinite(value):
        assert set(json.loads(text)) == {"result"}
    assert encoding.from_text(text)["result"] == value


def _infinite(value: Any) -> bool:
    return isinstance(value, float) and math.isinf(value)
