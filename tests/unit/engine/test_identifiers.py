"""Task ids: in the order of their creation, or derived from an idempotency key."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac import clock
from celeriac.records.identifiers import derived_task_id, new_task_id
from tests.unit.engine.support import START, Timer


def test_a_new_id_is_a_uuid_of_version_7() -> None:
    """RFC 9562, section 5.7: version 7, variant 10."""
    made = uuid.UUID(new_task_id())

    assert (made.version, made.variant) == (7, uuid.RFC_4122)


@given(st.integers(0, 2**48 - 1))
def test_an_id_begins_with_its_time(now: int) -> None:
    """The first 48 bits are milliseconds since 1970."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "now", Timer(now))
        made = uuid.UUID(new_task_id())

    assert made.int >> 80 == now
    assert (made.version, made.variant) == (7, uuid.RFC_4122)


def test_ids_sort_by_their_creation(monkeypatch: pytest.MonkeyPatch) -> None:
    """As texts, too: that is how DynamoDB and S3 list them."""
    timer = Timer(START)
    monkeypatch.setattr(clock, "now", timer)
    made = []
    for _ in range(100):
        made.append(new_task_id())
        timer.advance()

    assert made == sorted(made)


def test_ids_of_one_millisecond_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    """74 bits are random."""
    monkeypatch.setattr(clock, "now", Timer(START))

    assert len({new_task_id() for _ in range(1000)}) == 1000


def test_a_key_always_gives_the_same_id() -> None:
    """Today and after an upgrade: a changed id would run a repeated submission twice."""
    assert derived_task_id("shop", "send-email", "k1") == "2285fd47-c4ec-59d1-9fb9-eaed7331450f"


names = st.text(max_size=8)


@given(st.tuples(names, names, names), st.tuples(names, names, names))
def test_different_requests_give_different_ids(
    one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    """No tenant, type and key can be put together to another's id."""
    assert (derived_task_id(*one) == derived_task_id(*other)) == (one == other)


@given(
    st.text("ab1:", max_size=6), st.text("ab1:", max_size=6), st.integers(0, 6), st.integers(0, 6)
)
def test_where_one_name_ends_matters(text: str, key: str, cut: int, other_cut: int) -> None:
    """The same letters, divided otherwise, are another request."""
    one = (text[:cut], text[cut:], key)
    other = (text[:other_cut], text[other_cut:], key)

    assert (derived_task_id(*one) == derived_task_id(*other)) == (one == other)
