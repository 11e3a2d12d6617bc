"""Financial figures against the same sums in plain Python."""

from __future__ import annotations

import random
from collections import defaultdict
from decimal import Decimal

import pytest

from celeriac.contract import PermanentError

from .conftest import Make


def ledger(seed: int) -> list[dict[str, str]]:
    rng = random.Random(seed)
    return [
        {
            "date": f"2024-{rng.randint(1, 12):02}-{rng.choice([1, 28, 15]):02}",
            "amount": str(Decimal(rng.randint(-20_000, 100_000)) / 100),
            "kind": rng.choice(["Revenue", "expense", " EXPENSES ", "Доход", "расход"]),
            "category": rng.choice(["Salaries", "Rent", "Продажи", ""]),
        }
        for _ in range(500)
    ]


def is_revenue(row: dict[str, str]) -> bool:
    return row["kind"].strip().lower() in ("revenue", "доход")


@pytest.mark.parametrize("seed", [1, 2])
def test_financial_agrees_with_plain_python(make: Make, seed: int) -> None:
    """Revenue, expenses, profit and margin by month and category are sums of the ledger."""
    rows = ledger(seed)
    made = make("financial", rows, period={"from": "2024-01-01", "to": "2024-12-31"})
    sums: dict[str, list[Decimal]] = defaultdict(lambda: [Decimal(0), Decimal(0)])
    for row in rows:
        for name in ("all", row["date"][:7], row["category"] or "(not given)"):
            sums[name][0 if is_revenue(row) else 1] += Decimal(row["amount"])
    earned, spent = sums["all"]
    assert made.figures["revenue"] == float(earned)
    assert made.figures["expenses"] == float(spent)
    assert made.figures["profit"] == float(earned - spent)
    assert made.figures["margin"] == pytest.approx(float((earned - spent) / earned), abs=1e-6)
    tables = made.table("by_period", "period") | made.table("by_category", "category")
    assert len(tables) == 12 + 4
    for name, figures in tables.items():
        assert [figures["revenue"], figures["expenses"]] == [float(each) for each in sums[name]]
        assert figures["profit"] == float(sums[name][0] - sums[name][1])


def test_without_kinds_the_sign_decides_and_a_note_says_so(make: Make) -> None:
    """Amounts above zero are revenue and below zero expenses, when no column says it."""
    rows = [{"date": "2024-01-31", "amount": amount} for amount in ["100", "-30", "-20.5", "0"]]
    made = make("financial", rows)
    assert (made.figures["revenue"], made.figures["expenses"]) == (100, 50.5)
    assert made.figures["margin"] == 0.495
    assert "above zero are revenue" in made.text


def test_no_margin_without_revenue(make: Make) -> None:
    """A margin on no revenue has no meaning and is left blank."""
    made = make("financial", [{"date": "2024-01-31", "amount": "-30"}])
    assert made.figures["margin"] is None
    assert made.figures["profit"] == -30


def test_an_unknown_kind_is_refused_with_the_words_that_are_known(make: Make) -> None:
    """A word that is neither revenue nor expense is never guessed."""
    rows = [
        {"date": "2024-01-31", "amount": "1", "kind": "revenue"},
        {"date": "2024-01-31", "amount": "1", "kind": "transfer"},
        {"date": "2024-01-31", "amount": "1", "kind": ""},
    ]
    with pytest.raises(PermanentError) as caught:
        make("financial", rows)
    assert caught.value.type == "unknown-kind"
    assert "'transfer' (1 rows)" in caught.value.detail
    assert "revenue or income" in caught.value.detail
