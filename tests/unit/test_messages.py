"""Messages are read without trust: only well-formed ones pass, and no other error leaves."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.transport.headers import check
from celeriac.transport.message import MalformedMessageError, Message

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
NAMES = st.sampled_from(
    [
        *("id", "task", "retries", "timelimit", "eta", "expires", "group", "root_id", "shadow"),
        *("stamps", "stamped_headers", "celeriac", "ignore_result", "replaced_task_nesting"),
    ]
)
GOOD: dict[str, Any] = {"id": "a", "task": "add", "retries": 0, "timelimit": [None, None]}


@given(st.dictionaries(NAMES, JSON), JSON)
def test_any_headers_pass_or_are_malformed(headers: dict[str, Any], body: Any) -> None:
    """No other exception comes out, whatever JSON they are."""
    with suppress(MalformedMessageError):
        check({**GOOD, **headers}, body)


@given(st.text() | JSON.map(json.dumps))
def test_any_text_is_a_message_or_malformed(text: str) -> None:
    """A queue's page reads each dead letter so; one never hides the others."""
    with suppress(MalformedMessageError):
        assert isinstance(Message.from_text(text).task_id, str)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, '{"headers": ' + "[" * 99_999])
def test_nested_text_is_malformed(text: str) -> None:
    """Python gives up on it with an error of its own."""
    with pytest.raises(MalformedMessageError):
        Message.from_text(text)


def test_what_celery_writes_passes() -> None:
    """The headers of a real message, with all that it may embed."""
    headers = {
        **GOOD,
        "lang": "py",
        "shadow": None,
        "eta": "2026-01-31T12:00:00+00:00",
        "expires": None,
        "group": "g",
        "group_index": 0,
        "timelimit": [10.5, 5],
        "root_id": "a",
        "parent_id": None,
        "argsrepr": "(1,)",
        "kwargsrepr": "{}",
        "origin": "gen1@host",
        "ignore_result": False,
        "replaced_task_nesting": 0,
        "stamped_headers": None,
        "stamps": {},
        "celeriac": {"v": 1, "tenant": "t", "attempt": 2, "due": 5},
        "of-the-caller": [1, {"any": "thing"}],
    }
    signature = {"task": "add", "args": [1], "options": {}}

    check(headers, ([1], {}, {"callbacks": [signature], "chain": [signature], "chord": signature}))
    check(headers, [[1], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}])
