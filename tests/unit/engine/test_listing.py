"""A tenant's tasks, newest first, a page at a time."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac import states
from celeriac.records import (
    DynamoRecords,
    Failure,
    Filter,
    RecordStore,
    TaskRecord,
    identifiers,
    list_tasks,
)
from celeriac.records.listing import EFFORT, BadCursorError, decode_cursor, encode_cursor
from celeriac.storage.services import services
from celeriac.testing import MemoryRecords
from tests.unit.engine.support import START, new_record

EVERYTHING = Filter()
FAILURE = Failure(type="LeafMissing", message="no leaf")


class Listing:
    """A store with a tenant of its own, over a number of shards."""

    def __init__(self, store: RecordStore, shards: int) -> None:
        self.store = store
        self.shards = shards
        self.tenant = identifiers.new_task_id()

    def add(self, number: int, **fields: object) -> list[TaskRecord]:
        """Tasks created one millisecond apart, newest first."""
        made = [
            new_record(**{"tenant": self.tenant, "created_at": START + n} | fields)
            for n in range(number)
        ]
        for record in made:
            self.store.create(record)
        return made[::-1]

    def fail(self, record: TaskRecord) -> TaskRecord:
        return self.store.finish(record.task_id, None, states.FAILURE, failure=FAILURE)

    def page(
        self, filter: Filter = EVERYTHING, *, limit: int = 100, cursor: str | None = None
    ) -> tuple[list[TaskRecord], str | None]:
        page = list_tasks(self.store, self.tenant, filter, limit=limit, cursor=cursor)
        return page.records, page.next_cursor

    def walk(self, filter: Filter = EVERYTHING, *, limit: int) -> list[list[TaskRecord]]:
        """All pages, from the first to the last."""
        records, cursor = self.page(filter, limit=limit)
        pages = [records]
        while cursor is not None:
            records, cursor = self.page(filter, limit=limit, cursor=cursor)
            pages.append(records)
        return pages


@pytest.fixture(params=[("memory", 1), ("memory", 3), ("dynamodb", 1), ("dynamodb", 3)], ids=str)
def listing(request: pytest.FixtureRequest) -> Listing:
    kind, shards = request.param
    if kind == "memory":
        return Listing(MemoryRecords(shards=shards), shards)
    settings = request.getfixturevalue("aws")
    return Listing(DynamoRecords(services().dynamodb, settings.table_name, shards=shards), shards)


def flat(pages: list[list[TaskRecord]]) -> list[TaskRecord]:
    return [record for page in pages for record in page]


def test_the_newest_comes_first(listing: Listing) -> None:
    """In the order of creation, whatever partition each task is in."""
    made = listing.add(7)

    assert listing.page() == (made, None)


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
def test_pages_give_each_task_once(listing: Listing, limit: int) -> None:
    """Following the cursors leads past every task, and none twice."""
    made = listing.add(7)

    pages = listing.walk(limit=limit)

    assert flat(pages) == made
    assert all(len(page) <= limit for page in pages)


def test_tasks_of_one_millisecond_are_kept_apart(listing: Listing) -> None:
    """A page that ends between two of them goes on with the other."""
    made = [new_record(tenant=listing.tenant) for _ in range(5)]
    for record in made:
        listing.store.create(record)

    found = flat(listing.walk(limit=2))

    assert sorted(found, key=lambda record: record.task_id) == sorted(
        made, key=lambda record: record.task_id
    )


def test_a_task_created_meanwhile_doesnt_disturb(listing: Listing) -> None:
    """New tasks come above the cursor: the pages below it stay as they are."""
    made = listing.add(4)
    first, cursor = listing.page(limit=2)
    listing.store.create(new_record(tenant=listing.tenant, created_at=START + 1000))

    second, _ = listing.page(limit=2, cursor=cursor)

    assert first + second == made


def test_another_tenants_tasks_are_not_listed(listing: Listing) -> None:
    """Not even one whose name begins alike, and not with the other's cursor."""
    mine = listing.add(3)
    other = Listing(listing.store, listing.shards)
    other.tenant = f"{listing.tenant}#0"
    other.add(3)
    _, cursor = other.page(limit=1)

    assert listing.page()[0] == mine
    assert {record.tenant for record in listing.page(cursor=cursor)[0]} == {listing.tenant}


def test_tasks_are_filtered_by_type_and_tag(listing: Listing) -> None:
    """One, the other, or both."""
    sow_spring, dig_spring, dig_plain = (
        listing.add(1, type=kind, tags=tags, created_at=START + n)[0]
        for n, (kind, tags) in enumerate(
            [("sow", ("spring", "beds")), ("dig", ("spring",)), ("dig", ())]
        )
    )

    assert listing.page(Filter(type="dig"))[0] == [dig_plain, dig_spring]
    assert listing.page(Filter(tag="spring"))[0] == [dig_spring, sow_spring]
    assert listing.page(Filter(type="dig", tag="spring"))[0] == [dig_spring]
    assert listing.page(Filter(tag="sprin"))[0] == []


def test_tasks_are_filtered_by_status(listing: Listing) -> None:
    """As it is now, not as it was when the task was created."""
    made = listing.add(4)
    cancelled = listing.store.cancel(made[1].task_id)
    assert cancelled is not None

    assert listing.page(Filter(status=states.REVOKED))[0] == [cancelled[1]]
    assert listing.page(Filter(status=states.PENDING))[0] == [made[0], *made[2:]]


def test_failures_have_an_index_of_their_own(listing: Listing) -> None:
    """A few failures among many tasks are found at once, however old they are."""
    limit = 2
    made = listing.add(limit * EFFORT * 2)
    failed = [listing.fail(made[-1]), listing.fail(made[-2])]

    assert listing.page(Filter(status=states.FAILURE), limit=limit)[0] == failed[::-1]


def test_failures_are_filtered_too(listing: Listing) -> None:
    """The failures' index knows type, tags and creation."""
    dug = listing.fail(listing.add(1, type="dig")[0])
    sown = listing.fail(listing.add(1, type="sow", tags=("spring",), created_at=START + 5)[0])

    assert listing.page(Filter(status=states.FAILURE, type="dig"))[0] == [dug]
    assert listing.page(Filter(status=states.FAILURE, tag="spring"))[0] == [sown]
    assert listing.page(Filter(status=states.FAILURE, created_after=START))[0] == [sown]


def test_tasks_created_after_a_moment(listing: Listing) -> None:
    """The moment itself excluded, over several pages."""
    made = listing.add(6)

    pages = listing.walk(Filter(created_after=START + 1), limit=2)

    assert flat(pages) == made[:4]
    assert listing.page(Filter(created_after=START + 5)) == ([], None)


@pytest.mark.parametrize("status", [None, states.FAILURE])
def test_a_cursor_from_before_the_moment_finds_nothing(
    listing: Listing, status: str | None
) -> None:
    """Below the cursor there is nothing that was created after it: an empty page, no error."""
    made = listing.add(3)
    for record in made:
        listing.fail(record)
    cursor = encode_cursor(made[1].listing_key)

    for moment in (made[1].created_at, made[0].created_at, START + 1000):
        assert listing.page(Filter(status=status, created_after=moment), cursor=cursor) == (
            [],
            None,
        )


def test_a_rare_status_gives_short_pages(listing: Listing) -> None:
    """A page looks at a bounded number of tasks, and says where to go on."""
    limit = 2
    made = listing.add(limit * EFFORT + 3)
    oldest = made[-1]
    listing.store.cancel(oldest.task_id)

    first, cursor = listing.page(Filter(status=states.REVOKED), limit=limit)
    assert (first, cursor is None) == ([], False)

    second, _ = listing.page(Filter(status=states.REVOKED), limit=limit, cursor=cursor)
    assert [record.task_id for record in second] == [oldest.task_id]


def test_a_task_that_has_expired_meanwhile_is_left_out(listing: Listing) -> None:
    """The index may still name what the table no longer has."""
    made = listing.add(3)
    get_many = listing.store.get_many

    class Forgetful:
        def __getattr__(self, name: str) -> Callable[..., object]:
            return getattr(listing.store, name)  # type: ignore[no-any-return]

        def get_many(self, task_ids: list[str]) -> dict[str, TaskRecord]:
            found = get_many(task_ids)
            found.pop(made[1].task_id, None)
            return found

    forgetful = Listing(Forgetful(), listing.shards)  # type: ignore[arg-type]
    forgetful.tenant = listing.tenant

    assert forgetful.page()[0] == [made[0], made[2]]


# -- cursors


@given(
    st.integers(0, 9_999_999_999_999),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200),
)
def test_a_cursor_leads_back_to_its_place(created_at: int, task_id: str) -> None:
    """Whatever a task of plain Celery code is called."""
    key = replace(new_record(), created_at=created_at, task_id=task_id).listing_key

    cursor = encode_cursor(key)

    assert decode_cursor(cursor) == key
    assert cursor.replace("-", "").replace("_", "").isalnum(), "safe in a URL"


def test_no_cursor_is_the_beginning() -> None:
    """The first page needs none."""
    assert decode_cursor(None) is None


def encoded(text: bytes) -> str:
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "!",
        "abc",
        "a" * 5,
        "é",
        "\x00",
        "{}",
        encoded(b"hello"),
        encoded(b"1800000000000"),
        encoded(b"1800000000000#"),
        encoded(b"180000000000#short"),
        encoded("١٨٠٠٠٠٠٠٠٠٠٠٠#digits-of-another-script".encode()),
        encoded(b"\xff\xfe"),
        encoded(b"1800000000000#" + b"x" * 1100),
    ],
)
def test_a_cursor_that_no_page_gave_is_refused(cursor: str) -> None:
    """DynamoDB never sees it."""
    with pytest.raises(BadCursorError, match="not one that this list gave out"):
        list_tasks(MemoryRecords(), "shop", EVERYTHING, limit=10, cursor=cursor)


@given(st.text())
def test_no_text_is_more_than_a_bad_cursor(cursor: str) -> None:
    """Whatever stands in the URL is a cursor or a BadCursorError."""
    try:
        key = decode_cursor(cursor)
    except BadCursorError:
        return
    assert key is not None
    assert key[13] == "#"
