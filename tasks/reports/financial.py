"""Financial: revenue, expenses, profit and margin, by period and by category."""

from __future__ import annotations

from decimal import Decimal

from tasks.reports.breakdown import MOST_ROWS, with_rest
from tasks.reports.document import (
    Chart,
    Column,
    Content,
    KeyFigure,
    Section,
    Series,
    Table,
    growth,
    ratio,
)
from tasks.reports.facts import Facts, bounds
from tasks.reports.labels import Labels
from tasks.reports.parameters import Parameters
from tasks.shared.faults import Fault

REVENUE_WORDS = ("revenue", "income", "доход", "доходы", "выручка")
EXPENSE_WORDS = ("expense", "expenses", "cost", "costs", "расход", "расходы", "затраты")


def financial(facts: Facts, _parameters: Parameters, labels: Labels) -> Content:
    """With ``kind``, an expense is a positive amount, and a negative one reduces it.

    Without it, the sign decides: amounts above zero are revenue, below zero expenses.

    Raises:
        PermanentError: ``unknown-kind``.
    """
    revenue, expenses = _split(facts)
    sums = f"coalesce(sum({revenue}), 0), coalesce(sum({expenses}), 0)"
    earned, spent = facts.execute(f"SELECT {sums} FROM chosen")[0]
    earned_before, spent_before = facts.execute(
        f"SELECT {sums} FROM facts WHERE date >= ? AND date < ?",
        bounds(facts.span.previous if facts.span else None),
    )[0]
    profit = earned - spent
    key_figures = [
        KeyFigure("revenue", labels("income"), earned, "money", growth(earned, earned_before)),
        KeyFigure("expenses", labels("expenses"), spent, "money", growth(spent, spent_before)),
        KeyFigure(
            "profit",
            labels("profit"),
            profit,
            "money",
            growth(profit, earned_before - spent_before),
        ),
        KeyFigure("margin", labels("margin"), _margin(earned, spent), "share"),
    ]
    sections = [_by_period(facts, sums, labels)]
    if "category" in facts.roles:
        sections.append(_by_category(facts, sums, labels))
    notes = [] if "kind" in facts.roles else [labels("kind_from_sign")]
    return key_figures, sections, notes


def _split(facts: Facts) -> tuple[str, str]:
    """SQL for the revenue and for the expense of a row."""
    if "kind" not in facts.roles:
        return "greatest(amount, 0)", "greatest(-amount, 0)"
    unknown = facts.execute(
        "SELECT coalesce(kind, '') AS kind, count(*) FROM facts "
        f"WHERE NOT coalesce(lower(kind) IN {(*REVENUE_WORDS, *EXPENSE_WORDS)}, false) "
        "GROUP BY ALL ORDER BY count(*) DESC, kind LIMIT 5"
    )
    if unknown:
        listed = ", ".join(f"{kind[:40]!r} ({count} rows)" for kind, count in unknown)
        raise Fault.UNKNOWN_KIND.error(
            f"The column of kinds has {listed}.",
            f"Use {' or '.join(REVENUE_WORDS[:2])} for revenue "
            f"and {' or '.join(EXPENSE_WORDS[:2])} for expenses.",
        )
    earns = f"lower(kind) IN {REVENUE_WORDS}"
    return f"if({earns}, amount, 0)", f"if({earns}, 0, amount)"


def _margin(earned: Decimal, spent: Decimal) -> Decimal | None:
    return ratio(earned - spent, earned) if earned > 0 else None


def _by_period(facts: Facts, sums: str, labels: Labels) -> Section:
    found = {
        step: (earned, spent)
        for step, earned, spent in facts.execute(f"SELECT step, {sums} FROM chosen GROUP BY step")
    }
    rows = []
    for step in facts.steps:
        earned, spent = found.get(step.first, (0, 0))
        rows.append([step, earned, spent, earned - spent, _margin(earned, spent)])
    columns = [
        Column("period", labels("period"), "step"),
        Column("revenue", labels("income"), "money"),
        Column("expenses", labels("expenses"), "money"),
        Column("profit", labels("profit"), "money"),
        Column("margin", labels("margin"), "share"),
    ]
    series = [
        Series(labels("income"), [row[1] for row in rows]),
        Series(labels("expenses"), [row[2] for row in rows]),
        Series(labels("profit"), [row[3] for row in rows]),
    ]
    chart = Chart("columns", facts.steps, series, "money")
    return Section("by_period", labels("by_period"), Table(columns, rows), chart)


def _by_category(facts: Facts, sums: str, labels: Labels) -> Section:
    found = facts.execute(
        f"SELECT category, {sums}, sum(abs(amount)) AS volume FROM chosen "
        "GROUP BY category ORDER BY volume DESC, category"
    )
    rows = [
        [name or labels("not_given"), earned, spent, earned - spent]
        for name, earned, spent, _ in found
    ]
    columns = [
        Column("category", labels("category"), "text"),
        Column("revenue", labels("income"), "money"),
        Column("expenses", labels("expenses"), "money"),
        Column("profit", labels("profit"), "money"),
    ]
    shown = with_rest(rows, MOST_ROWS, labels, adds_up=(1, 2, 3))
    charted = with_rest(rows, 10, labels, adds_up=(1, 2, 3))
    chart = Chart(
        "bars",
        [row[0] for row in charted],
        [Series(labels("profit"), [row[3] for row in charted])],
        "money",
    )
    return Section("by_category", labels("by_category"), Table(columns, shown), chart)
