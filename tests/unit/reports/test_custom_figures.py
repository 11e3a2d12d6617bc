"""Custom reports: every measure and filter against plain Python, and no way into the SQL."""

from __future__ import annotations

import random
import statistics
from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from celeriac.contract import PermanentError

from .conftest import Make, Rows

FUNCTIONS = ["sum", "avg", "count", "min", "max", "median", "distinct"]


def stock(seed: int) -> list[dict[str, str]]:
    rng = random.Random(seed)
    return [
        {
            "shop": rng.choice(["A", "B", "Ёлка", ""]),
            "day": f"2024-{rng.randint(1, 6):02}-{rng.randint(1, 28):02}",
            "value": rng.choice(["", str(Decimal(rng.randint(-9999, 9999)) / 100)]),
            "code": rng.choice(["007", "7", "x'y", "100%"]),
        }
        for _ in range(400)
    ]


def test_every_measure_agrees_with_plain_python(make: Make) -> None:
    """Each function, over each shop and month, is what the statistics module says."""
    rows = stock(1)
    groups: dict[tuple[str, str], list[Decimal]] = defaultdict(list)
    for row in rows:
        groups[row["shop"] or "(not given)", row["day"][:7]]
        if row["value"]:
            groups[row["shop"] or "(not given)", row["day"][:7]].append(Decimal(row["value"]))
    found: dict[tuple[str, str], dict[str, Any]] = defaultdict(dict)
    for functions in (FUNCTIONS[:4], FUNCTIONS[4:]):
        made = make(
            "custom",
            rows,
            dimensions=[{"column": "shop"}, {"column": "day", "by": "month"}],
            measures=[{"function": each, "column": "value"} for each in functions],
        )
        for row in made.figures["data"]:
            found[row["shop"], row["day"]] |= row
    assert set(found) == set(groups)
    for key, values in groups.items():
        figures = found[key]
        assert figures["sum_value"] == float(sum(values))
        assert figures["avg_value"] == pytest.approx(float(statistics.mean(values)))
        assert figures["count_value"] == len(values)
        assert figures["min_value"] == float(min(values))
        assert figures["max_value"] == float(max(values))
        assert figures["median_value"] == pytest.approx(float(statistics.median(values)), abs=1e-6)
        assert figures["distinct_value"] == len(set(values))


@pytest.mark.parametrize(
    ("filter", "keeps"),
    [
        ({"column": "code", "value": "007"}, lambda row: row["code"] == "007"),
        ({"column": "code", "value": 7}, None),
        ({"column": "code", "value": "x'y"}, lambda row: row["code"] == "x'y"),
        ({"column": "code", "value": "' OR 1=1 --"}, lambda row: False),
        (
            {"column": "code", "operator": "contains", "value": "%"},
            lambda row: row["code"] == "100%",
        ),
        ({"column": "shop", "operator": "ne", "value": "A"}, lambda row: row["shop"] != "A"),
        (
            {"column": "shop", "operator": "in", "value": ["A", "Ёлка"]},
            lambda row: row["shop"] in ("A", "Ёлка"),
        ),
        (
            {"column": "shop", "operator": "not_in", "value": ["A"]},
            lambda row: row["shop"] != "A",
        ),
        ({"column": "shop", "operator": "is_null"}, lambda row: row["shop"] == ""),
        ({"column": "value", "operator": "not_null"}, lambda row: row["value"] != ""),
        (
            {"column": "value", "operator": "lt", "value": -50.5},
            lambda row: row["value"] and Decimal(row["value"]) < Decimal("-50.5"),
        ),
        (
            {"column": "value", "operator": "ge", "value": 9},
            lambda row: row["value"] and Decimal(row["value"]) >= 9,
        ),
        (
            {"column": "day", "operator": "le", "value": "2024-02-15"},
            lambda row: row["day"] <= "2024-02-15",
        ),
    ],
)
def test_filters_keep_the_rows_plain_python_keeps(
    make: Make, filter: dict[str, Any], keeps: Callable[[dict[str, str]], Any] | None
) -> None:
    """A filter compares numbers with numbers, dates with dates, and text as it is written."""
    rows = stock(2)
    if keeps is None:
        with pytest.raises(PermanentError) as caught:
            make("custom", rows, measures=[{"function": "count"}], filters=[filter])
        assert caught.value.type == "wrong-type"
        return
    made = make("custom", rows, measures=[{"function": "count"}], filters=[filter])
    assert made.figures["count_rows"] == sum(1 for row in rows if keeps(row))


def test_filters_narrow_every_report_type(make: Make) -> None:
    """A sales report of one region is the same sums over that region's rows."""
    rows = [
        {"date": "2024-01-01", "amount": "5", "region": "North"},
        {"date": "2024-02-01", "amount": "7", "region": "North"},
        {"date": "2024-02-01", "amount": "100", "region": "South"},
    ]
    made = make(
        "sales",
        rows,
        filters=[{"column": "region", "value": "North"}],
        period={"from": "2024-02-01", "to": "2024-02-29"},
    )
    assert (made.figures["revenue"], made.figures["revenue_growth"]) == (7, 0.4)


def test_the_period_is_measured_by_the_mapped_date_column(make: Make) -> None:
    """A custom report takes a period, and counts the rows that have no date."""
    rows: Rows = [*stock(3), {"shop": "A", "day": "", "value": "1", "code": "7"}]
    made = make(
        "custom",
        rows,
        columns={"date": "day"},
        period={"from": "2024-02-01", "to": "2024-03-31"},
        measures=[{"function": "count"}],
    )
    expected = sum(1 for row in rows if row["day"][:7] in ("2024-02", "2024-03"))
    assert made.figures["count_rows"] == expected
    assert "missing: 1." in made.text


def test_smallest_and_largest_of_dates_and_words(make: Make) -> None:
    """min and max take a column for what it holds: numbers, dates or words."""
    rows = [
        {"when": "2.01.2024", "name": "b", "number": "9"},
        {"when": "10.01.2024", "name": "a", "number": "10"},
    ]
    made = make(
        "custom",
        rows,
        measures=[
            {"function": function, "column": column}
            for function in ("min", "max")
            for column in ("when", "name", "number")
        ],
    )
    assert made.figures["min_when"] == "2024-01-02 00:00:00"
    assert made.figures["max_when"] == "2024-01-10 00:00:00"
    assert (made.figures["min_name"], made.figures["max_name"]) == ("a", "b")
    assert (made.figures["min_number"], made.figures["max_number"]) == (9, 10)


def test_the_same_measure_twice_keeps_both(make: Make) -> None:
    """Figures asked for twice get names of their own, and the labels the caller gave."""
    measures = [
        {"function": "sum", "column": "n", "label": "First"},
        {"function": "sum", "column": "n", "label": "Second"},
    ]
    made = make("custom", [{"n": "2"}], measures=measures)
    assert (made.figures["sum_n"], made.figures["sum_n_2"]) == (2, 2)
    assert "First" in made.text
    assert "Second" in made.text


def test_more_groups_than_fit_are_cut_and_the_report_says_so(make: Make) -> None:
    """The 500 largest groups are shown, and the total counts all of them."""
    rows = [{"id": f"i{number}", "n": str(number)} for number in range(1, 801)]
    made = make(
        "custom",
        rows,
        dimensions=[{"column": "id"}],
        measures=[{"function": "sum", "column": "n"}],
    )
    data = made.figures["data"]
    assert [row["id"] for row in data] == [f"i{number}" for number in range(800, 300, -1)]
    assert made.figures["sum_n"] == sum(range(1, 801))
    assert "the first 500 of 800" in made.text


HOSTILE = [
    'a"; DROP TABLE data; --',
    "x'); SELECT 1; --",
    "[b]",
    "c0",
    "data.rowid",
    "{0}",
    "{column}",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_column_name_is_never_sql(make: Make, name: str) -> None:
    """Headers full of quotes and SQL are names of columns, and nothing more."""
    rows = [{"z": "1", name: "5"}, {"z": "2", name: "7"}]
    made = make(
        "custom",
        rows,
        dimensions=[{"column": name}],
        measures=[{"function": "sum", "column": name}],
        filters=[{"column": name, "operator": "gt", "value": 5}],
    )
    assert made.figures["data"] == [{name: "7", f"sum_{name}": 7.0}]


@pytest.mark.parametrize(
    "name", ["rowid", "count(*)", 'a" UNION SELECT 1 --', "shop; DROP TABLE data"]
)
def test_only_the_files_own_columns_can_be_named(make: Make, name: str) -> None:
    """A name that is not a header is a missing column, whatever SQL would make of it."""
    with pytest.raises(PermanentError) as caught:
        make("custom", stock(4), measures=[{"function": "max", "column": name}])
    assert caught.value.type == "missing-column"
    assert repr(name) in caught.value.detail
    assert "'shop', 'day', 'value', 'code'" in caught.value.detail
