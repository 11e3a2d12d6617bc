"""Inputs and results are kept in the record, next to it, or in S3, by their size."""

from __future__ import annotations

import pytest

from celeriac import clock
from celeriac.marshalling import marshal
from celeriac.records import identifiers
from celeriac.records.items import partition
from celeriac.settings import Settings
from celeriac.storage.artifacts import Artifacts
from celeriac.storage.services import services
from celeriac.storage.values import (
    INLINE_LIMIT,
    ITEM_LIMIT,
    LARGEST,
    AwsValues,
    ValueMissingError,
    ValueStore,
    ValueTooLargeError,
)
from celeriac.testing import MemoryValues
from celeriac.topology import FURTHEST_DUE
from tests.unit.engine.meter import metered
from tests.unit.engine.support import START

EXPIRES_AT = START // 1000 + 3600


@pytest.fixture(params=["memory", "aws"])
def values(request: pytest.FixtureRequest) -> ValueStore:
    if request.param == "memory":
        return MemoryValues()
    request.getfixturevalue("aws")
    return services().values


@pytest.fixture
def task_id() -> str:
    return identifiers.new_task_id()


TEXTS = [
    "",
    "{}",
    "=item:not-a-reference",
    "ü" * (INLINE_LIMIT // 2),
    "ü" * (INLINE_LIMIT // 2) + "x",
    "x" * INLINE_LIMIT,
    "x" * (INLINE_LIMIT + 1),
    "🥕" * (ITEM_LIMIT // 4),
    "🥕" * (ITEM_LIMIT // 4) + "x",
    "x" * (2 * ITEM_LIMIT),
]


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: f"{len(text.encode())} bytes")
def test_what_is_put_is_what_is_got(values: ValueStore, task_id: str, text: str) -> None:
    """Whatever the size, whatever the characters."""
    reference = values.put("shop", task_id, "input", text, EXPIRES_AT)

    assert values.get("shop", task_id, reference) == text


@pytest.mark.parametrize(
    ("size", "kind", "requests"),
    [
        (INLINE_LIMIT, "=", {}),
        (INLINE_LIMIT + 1, "item:", {"dynamodb:PutItem": 1}),
        (ITEM_LIMIT, "item:", {"dynamodb:PutItem": 1}),
        (ITEM_LIMIT + 1, "s3:", {"s3:PutObject": 1}),
    ],
)
def test_the_size_decides_where(
    aws: Settings, task_id: str, size: int, kind: str, requests: dict[str, int]
) -> None:
    """At each boundary, in bytes: in the record itself, in an item next to it, in S3."""
    text = "ü" * (size // 2) + "x" * (size % 2)

    with metered() as bill:
        reference = services().values.put("shop", task_id, "input", text, EXPIRES_AT)

    assert reference.startswith(kind)
    assert bill.requests == requests
    assert len(reference) <= INLINE_LIMIT + 1, "a reference is no longer than what it spares"


def test_the_largest_value_is_accepted_and_no_larger(
    values: ValueStore, task_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """50 MB of UTF-8; the error says what to do with more."""
    kept = []
    monkeypatch.setattr(Artifacts, "put", lambda *arguments, **_: kept.append(arguments))
    largest = "x" * LARGEST

    values.put("shop", task_id, "result", largest, EXPIRES_AT)
    with pytest.raises(ValueTooLargeError, match="Keep large data as an artifact") as refused:
        values.put("shop", task_id, "result", largest[:-1] + "ü", EXPIRES_AT)

    assert refused.value.size == LARGEST + 1
    assert isinstance(values, MemoryValues) or len(kept) == 1


def test_an_attempt_does_not_overwrite_anothers_value(values: ValueStore, task_id: str) -> None:
    """A zombie that stores its result late leaves the winner's as it is."""
    for size in (INLINE_LIMIT + 1, ITEM_LIMIT + 1):
        winner = values.put("shop", task_id, "result", "w" * size, EXPIRES_AT)
        values.put("shop", task_id, "result", "z" * size, EXPIRES_AT)

        assert values.get("shop", task_id, winner) == "w" * size


@pytest.mark.parametrize("size", [INLINE_LIMIT + 1, ITEM_LIMIT + 1])
def test_another_task_does_not_find_it(values: ValueStore, task_id: str, size: int) -> None:
    """A reference means something in its own task only."""
    reference = values.put("shop", task_id, "result", "x" * size, EXPIRES_AT)

    if reference.startswith("s3:"):
        with pytest.raises(ValueMissingError):
            values.get("other-shop", task_id, reference)
    else:
        with pytest.raises(ValueMissingError):
            values.get("shop", identifiers.new_task_id(), reference)


@pytest.mark.parametrize(
    "reference", ["item:input-0", "s3:values/t/input-0.json", "s3:../x", "item:\x00"]
)
def test_a_value_that_has_expired_is_told(aws: Settings, task_id: str, reference: str) -> None:
    """The reference leads nowhere any more: an error of its own, not AWS's."""
    with pytest.raises(ValueMissingError, match="it has expired"):
        services().values.get("shop", task_id, reference)


def test_an_item_expires_with_its_task(aws: Settings, task_id: str) -> None:
    """DynamoDB removes both at the record's time."""
    reference = services().values.put("shop", task_id, "input", "x" * 1000, EXPIRES_AT)
    key = marshal({"pk": partition(task_id), "sk": reference.removeprefix("item:")})

    item = services().dynamodb.get_item(TableName=aws.table_name, Key=key)["Item"]

    assert item["expires_at"] == {"N": str(EXPIRES_AT)}


def test_values_in_s3_lie_under_their_tenant(aws: Settings, task_id: str) -> None:
    """Where S3 expires them, and no other tenant finds them."""
    own = services()
    values = AwsValues(own.dynamodb, aws.table_name, own.artifacts, record_ttl=aws.record_ttl)
    expires_at = (clock.now() + clock.millis(aws.record_ttl)) // 1000
    values.put("shop", task_id, "input", "x" * (ITEM_LIMIT + 1), expires_at)

    assert not list(own.artifacts.list("acme", f"values/{task_id}/"))
    assert list(own.artifacts.list("shop", f"values/{task_id}/"))


def test_a_large_value_of_a_task_due_in_a_year_lies_where_s3_keeps_it(
    aws: Settings, task_id: str
) -> None:
    """S3 deletes by age and by how a key begins: what is needed for longer begins differently."""
    values, text = services().values, "x" * (ITEM_LIMIT + 1)
    year = clock.now() + clock.millis(FURTHEST_DUE + aws.record_ttl)
    reference = values.put("shop", task_id, "input", text, year // 1000)

    objects = services().s3.list_objects_v2(
        Bucket=aws.bucket_name, Prefix=f"delayed/shop/delayed/{task_id}"
    )
    assert [each["Key"].split("/")[3] for each in objects["Contents"]] == [task_id]
    assert values.get("shop", task_id, reference) == text


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: f"{len(text.encode())} bytes")
def test_what_is_renewed_is_what_was_put(values: ValueStore, task_id: str, text: str) -> None:
    """Messages that were sent long ago carry the reference, so it stays."""
    reference = values.put("shop", task_id, "input", text, EXPIRES_AT)

    values.renew("shop", task_id, reference, EXPIRES_AT + 1)

    assert values.get("shop", task_id, reference) == text


@pytest.mark.parametrize(
    ("size", "requests"),
    [
        (INLINE_LIMIT, {}),
        (INLINE_LIMIT + 1, {"dynamodb:UpdateItem": 1}),
        (ITEM_LIMIT + 1, {"s3:GetObject": 1, "s3:PutObject": 1}),
    ],
)
def test_a_renewal_writes_once(
    aws: Settings, task_id: str, size: int, requests: dict[str, int]
) -> None:
    """The record renews what is in it. S3 deletes by age, so an object is written again."""
    reference = services().values.put("shop", task_id, "input", "x" * size, EXPIRES_AT)

    with metered() as bill:
        services().values.renew("shop", task_id, reference, EXPIRES_AT + 1)

    assert bill.requests == requests


@pytest.mark.parametrize(("further", "kept"), [(-1, 0), (0, 0), (1, 1), (604_800, 604_800)])
def test_a_renewal_keeps_an_item_for_longer_and_never_for_less(
    aws: Settings, task_id: str, further: int, kept: int
) -> None:
    """Of two repairs at once, the one that read the older clock may write last."""
    reference = services().values.put("shop", task_id, "input", "x" * 1000, EXPIRES_AT)
    key = marshal({"pk": partition(task_id), "sk": reference.removeprefix("item:")})

    services().values.renew("shop", task_id, reference, EXPIRES_AT + further)

    item = services().dynamodb.get_item(TableName=aws.table_name, Key=key)["Item"]
    assert item["expires_at"] == {"N": str(EXPIRES_AT + kept)}


@pytest.mark.parametrize(
    "reference", ["item:input-0", "s3:values/t/input-0.json", "s3:delayed/t/input-0.json"]
)
def test_what_has_expired_is_not_renewed(values: ValueStore, task_id: str, reference: str) -> None:
    """And nothing is left in its place, which would be an input without a text."""
    with pytest.raises(ValueMissingError, match="it has expired"):
        values.renew("shop", task_id, reference, EXPIRES_AT)

    with pytest.raises(ValueMissingError):
        values.get("shop", task_id, reference)
