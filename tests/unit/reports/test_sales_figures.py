"""Sales figures against the same sums in plain Python."""

from __future__ import annotations

import calendar
import random
from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from .conftest import Make

PRODUCTS = ["Kettle", "Кофе в зёрнах", 'Mug, "large"', "007", "", "tea; green", "Grinder"]
REGIONS = ["North", "South", ""]


def awkward_rows(seed: int, count: int = 600) -> list[dict[str, str]]:
    """Orders with refunds, gaps, amounts of many sizes, and times in three zones at month ends."""
    rng = random.Random(seed)
    zones = [ZoneInfo("UTC"), ZoneInfo("Asia/Tokyo"), ZoneInfo("America/New_York")]
    rows = []
    for _ in range(count):
        month = rng.randint(1, 12)
        last = calendar.monthrange(2024, month)[1]
        day = rng.choice([1, last, rng.randint(1, last)])
        moment = datetime(
            2024, month, day, rng.choice([0, 12, 23]), rng.choice([0, 59]), tzinfo=rng.choice(zones)
        )
        amount = Decimal(rng.choice([1, 999, 33333, 12345678])) / 100
        rows.append(
            {
                "date": "" if rng.random() < 0.02 else moment.isoformat(),
                "amount": ""
                if rng.random() < 0.02
                else str(-amount if rng.random() < 0.1 else amount),
                "order_id": f"o{rng.randint(1, count // 2)}",
                "product": rng.choice(PRODUCTS),
                "region": rng.choice(REGIONS),
                "quantity": rng.choice(["", "1", "2.5", "-1"]),
            }
        )
    return rows


def usable(rows: list[dict[str, str]], zone: str) -> list[tuple[date, Decimal, dict[str, str]]]:
    return [
        (
            datetime.fromisoformat(row["date"]).astimezone(ZoneInfo(zone)).date(),
            Decimal(row["amount"]),
            row,
        )
        for row in rows
        if row["date"] and row["amount"]
    ]


@pytest.mark.parametrize(("seed", "zone"), [(1, "UTC"), (2, "Asia/Tokyo"), (3, "America/New_York")])
def test_sales_agree_with_plain_python(make: Make, seed: int, zone: str) -> None:
    """Totals, steps, products and regions are the sums of the rows of each local day."""
    rows = awkward_rows(seed)
    first, last = date(2024, 2, 1), date(2024, 8, 31)
    inside = [each for each in usable(rows, zone) if first <= each[0] <= last]

    made = make("sales", rows, time_zone=zone, period={"from": "2024-02-01", "to": "2024-08-31"})

    amounts = [amount for _, amount, _ in inside]
    figures = made.figures
    assert figures["rows"] == len(inside)
    assert figures["revenue"] == float(sum(amounts))
    assert figures["gross"] == float(sum(each for each in amounts if each > 0))
    assert figures["refunds"] == float(sum(each for each in amounts if each < 0))
    orders = {row["order_id"] for _, amount, row in inside if amount >= 0}
    assert figures["orders"] == len(orders)
    assert figures["average_order"] == pytest.approx(figures["gross"] / len(orders), abs=1e-6)
    assert figures["units"] == float(sum(Decimal(row["quantity"] or 0) for _, _, row in inside))

    by_month: dict[str, Decimal] = defaultdict(Decimal)
    for day, amount, _ in inside:
        by_month[f"{day:%Y-%m}"] += amount
    months = made.table("by_period", "period")
    assert list(months) == [f"2024-{month:02}" for month in range(2, 9)]
    assert {name: row["revenue"] for name, row in months.items()} == {
        name: float(by_month[name]) for name in months
    }
    for before, now in zip(months, list(months)[1:], strict=False):
        if by_month[before] > 0:
            expected = (by_month[now] - by_month[before]) / by_month[before]
            assert months[now]["growth"] == pytest.approx(float(expected), abs=1e-6)
        else:
            assert months[now]["growth"] is None

    for role in ("product", "region"):
        sums: dict[str, Decimal] = defaultdict(Decimal)
        for _, amount, row in inside:
            sums[row[role] or "(not given)"] += amount
        found = made.table(f"by_{role}", role)
        assert {name: row["revenue"] for name, row in found.items()} == {
            name: float(value) for name, value in sums.items()
        }
        assert list(found) == sorted(sums, key=lambda name: -sums[name])
        assert sum(row["share"] for row in found.values()) == pytest.approx(1, abs=1e-5)


def test_growth_compares_with_as_many_months_before(make: Make) -> None:
    """The growth of two whole months is measured against the two whole months before them."""
    rows = [
        {"date": "2023-12-31", "amount": "1000"},
        {"date": "2024-01-01", "amount": "40"},
        {"date": "2024-02-29", "amount": "60"},
        {"date": "2024-03-01", "amount": "100"},
        {"date": "2024-04-30T23:59:59", "amount": "50"},
        {"date": "2024-05-01", "amount": "7"},
    ]
    made = make("sales", rows, period={"from": "2024-03-01", "to": "2024-04-30"})
    assert made.figures["revenue"] == 150
    assert made.figures["revenue_growth"] == 0.5
    assert "Growth compares with 1 Jan 2024 to 29 Feb 2024" in made.text


def test_growth_of_other_spans_compares_with_as_many_days(make: Make) -> None:
    """Ten days are measured against the ten days before them."""
    start = date(2024, 3, 11)
    rows = [
        {"date": str(start + timedelta(days=offset)), "amount": "1"} for offset in range(-12, 12)
    ] + [{"date": "2024-03-20", "amount": "5"}]
    made = make("sales", rows, period={"from": "2024-03-11", "to": "2024-03-20"})
    assert made.figures["revenue_growth"] == 0.5


def test_no_growth_over_nothing_or_a_loss(make: Make) -> None:
    """Where the step before had no sales, or more refunds than sales, growth is left blank."""
    rows = [
        {"date": "2024-01-05", "amount": "-10"},
        {"date": "2024-02-05", "amount": "10"},
        {"date": "2024-04-05", "amount": "10"},
    ]
    made = make("sales", rows)
    assert [row["growth"] for row in made.figures["by_period"]] == [None, None, -1.0, None]
    assert [row["revenue"] for row in made.figures["by_period"]] == [-10, 10, 0, 10]


def test_rows_without_date_or_amount_are_counted_in_a_note(make: Make) -> None:
    """Rows that can't be used are left out, and the report says how many."""
    rows = [
        {"date": "2024-01-05", "amount": "10"},
        {"date": "", "amount": "10"},
        {"date": "2024-01-05", "amount": " "},
    ]
    made = make("sales", rows)
    assert made.figures["revenue"] == 10
    assert "required value is missing: 2." in made.text


def test_long_lists_end_in_a_row_that_adds_up_the_rest(make: Make) -> None:
    """With more products than top_n, the last row of the top is the sum of all others."""
    rows = [
        {"date": "2024-01-05", "amount": str(number), "product": f"p{number:04}"}
        for number in range(1, 701)
    ]
    made = make("sales", rows, top_n=3)
    top = made.figures["top_products"]
    assert [row["product"] for row in top] == ["p0700", "p0699", "p0698", "Other (697)"]
    assert top[-1]["revenue"] == sum(range(1, 698))
    every = made.figures["by_product"]
    assert len(every) == 501
    assert sum(row["revenue"] for row in every) == made.figures["revenue"] == sum(range(1, 701))


def test_every_order_counts_once(make: Make) -> None:
    """Without order ids each row that is no refund is an order; with them, each id is one."""
    rows = [{"date": "2024-01-05", "amount": "5", "order_id": each} for each in ["a", "a", "b"]]
    assert make("sales", rows).figures["orders"] == 2
    bare = [{"date": row["date"], "amount": row["amount"]} for row in rows]
    assert make("sales", [*bare, {"date": "2024-01-06", "amount": "-5"}]).figures["orders"] == 3


def test_cents_add_up_exactly(make: Make) -> None:
    """Ten thousand times ten cents is a thousand, not nearly a thousand."""
    rows = [{"date": "2024-01-05", "amount": "0.1"}] * 10_000
    assert make("sales", rows).figures["revenue"] == 1000.0


@pytest.mark.parametrize(
    ("granularity", "keys"),
    [
        ("day", ["2024-12-30", "2024-12-31", "2025-01-01"]),
        ("week", ["2025-W01"]),
        ("month", ["2024-12", "2025-01"]),
        ("quarter", ["2024-Q4", "2025-Q1"]),
        ("year", ["2024", "2025"]),
    ],
)
def test_steps_at_the_turn_of_a_year(make: Make, granularity: str, keys: list[str]) -> None:
    """Each row falls in the step its day belongs to; the ISO week 1 of 2025 begins in 2024."""
    rows = [
        {"date": "2024-12-30", "amount": "1"},
        {"date": "2024-12-31T23:59:59", "amount": "2"},
        {"date": "2025-01-01", "amount": "4"},
    ]
    made = make("sales", rows, granularity=granularity)
    assert [row["period"] for row in made.figures["by_period"]] == keys
    day = {"2024-12-30": 1, "2024-12-31": 2, "2025-01-01": 4}
    expected = Counter[str]()
    for text, amount in day.items():
        moment = datetime.fromisoformat(text).replace(tzinfo=UTC)
        iso = moment.isocalendar()
        expected[
            {
                "day": text,
                "week": f"{iso.year}-W{iso.week:02}",
                "month": text[:7],
                "quarter": f"{text[:4]}-Q{(moment.month + 2) // 3}",
                "year": text[:4],
            }[granularity]
        ] += amount
    assert {row["period"]: row["revenue"] for row in made.figures["by_period"]} == expected
