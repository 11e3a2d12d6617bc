"""Where a chart's bars end, and how its axis is labelled."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from itertools import pairwise

import pytest

from tasks.reports.charts import drawing
from tasks.reports.document import Chart, Series, Value
from tasks.reports.locale import Formats
from tasks.reports.parameters import Granularity, Language
from tasks.reports.period import Span

ENGLISH = Formats(Language.ENGLISH, "USD")
RUSSIAN = Formats(Language.RUSSIAN, "RUB")


def columns(values: list[Value], granularity: Granularity = Granularity.MONTH) -> Chart:
    last = date(2024, 1, 1)
    while len(steps := Span(date(2024, 1, 1), last).steps(granularity)) < len(values):
        last = last.replace(year=last.year + 1)
    return Chart("columns", steps[: len(values)], [Series("x", values)], "money")


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([Decimal(35_000), Decimal(10)], ["0", "10K", "20K", "30K", "40K"]),
        ([Decimal(-150), Decimal(90)], ["−200", "−100", "0", "100"]),
        ([Decimal("0.7")], ["0", "0.2", "0.4", "0.6", "0.8"]),
        ([Decimal(0), None], ["0", "1"]),
        ([Decimal(2_400_000_000)], ["0", "1B", "2B", "3B"]),
    ],
)
def test_an_axis_has_round_numbers_and_zero(values: list[Value], labels: list[str]) -> None:
    """The axis runs over round numbers from below the least value to above the greatest."""
    drawn = drawing(columns(values), ENGLISH)
    assert [tick["label"] for tick in drawn["ticks"]] == labels
    assert (drawn["ticks"][0]["at"], drawn["ticks"][-1]["at"]) == (0, 1)


def test_a_column_is_as_high_as_its_value() -> None:
    """Heights are in proportion, down from zero for a loss."""
    drawn = drawing(columns([Decimal(50), Decimal(-100), Decimal(100)]), ENGLISH)
    heights = [group["bars"][0] - drawn["zero"] for group in drawn["groups"]]
    assert heights[0] / heights[2] == pytest.approx(0.5)
    assert heights[1] == pytest.approx(-heights[2])


@pytest.mark.parametrize("granularity", Granularity)
def test_labels_below_columns_do_not_run_into_each_other(granularity: Granularity) -> None:
    """However many steps there are, labels are an even choice of them that fits."""
    for formats in (ENGLISH, RUSSIAN):
        for count in (1, 5, 13, 60, 200):
            drawn = drawing(columns([Decimal(1)] * count, granularity), formats)
            places = [label["at"] for label in drawn["labels"]]
            longest = max(len(label["text"]) for label in drawn["labels"])
            assert all(
                after - before >= longest * 0.12 / 15.9 for before, after in pairwise(places)
            )


def test_bars_of_gains_and_losses_meet_at_zero() -> None:
    """A loss runs left to the line where a gain begins."""
    chart = Chart("bars", ["a", "b"], [Series("x", [Decimal(30), Decimal(-10)])], "money")
    gain, loss = drawing(chart, ENGLISH)["rows"]
    assert (gain["from"], gain["to"]) == pytest.approx((0.25, 1))
    assert (loss["from"], loss["to"]) == pytest.approx((0, 0.25))
    assert (gain["value"], loss["value"]) == ("30.00", "−10.00")


def test_numbers_are_written_in_the_readers_way() -> None:
    """Signs, groups and currencies follow the language; a yen has no cents."""
    amount = Decimal("-1234.565")
    assert ENGLISH.headline(amount, "money") == "−$1,234.57"
    assert RUSSIAN.headline(amount, "money") == "−1\u202f234,57\u00a0₽"
    assert ENGLISH.headline(Decimal("1234567.89"), "money") == "$1,234,568"
    assert Formats(Language.ENGLISH, "CHF").headline(Decimal(5), "money") == "5.00\u00a0CHF"
    assert Formats(Language.ENGLISH, "JPY").value(Decimal(5), "money") == "5"
    assert ENGLISH.share(Decimal("0.12345"), signed=True) == "+12.3%"
    assert ENGLISH.value(None, "money") == "–"
