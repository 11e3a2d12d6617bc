"""Sales: totals, growth, by period, by product and by region."""

from __future__ import annotations

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

SHORT_LIST = 25


def sales(facts: Facts, parameters: Parameters, labels: Labels) -> Content:
    """A refund is a negative amount. Without ``order_id``, each other row is an order."""
    gross, refunds = facts.execute(
        "SELECT coalesce(sum(amount) FILTER (amount > 0), 0), "
        "coalesce(sum(amount) FILTER (amount < 0), 0) FROM chosen"
    )[0]
    (orders,) = facts.execute(f"SELECT {_orders(facts)} FROM chosen")[0]
    revenue = gross + refunds
    (previous,) = facts.execute(
        "SELECT sum(amount) FROM facts WHERE date >= ? AND date < ?",
        bounds(facts.span.previous if facts.span else None),
    )[0]
    key_figures = [
        KeyFigure("revenue", labels("revenue"), revenue, "money", growth(revenue, previous)),
        KeyFigure("gross", labels("gross"), gross, "money"),
        KeyFigure("refunds", labels("refunds"), refunds, "money"),
        KeyFigure("orders", labels("orders"), orders, "count"),
        KeyFigure("average_order", labels("average_order"), ratio(gross, orders), "money"),
    ]
    if "quantity" in facts.roles:
        (units,) = facts.execute("SELECT coalesce(sum(quantity), 0) FROM chosen")[0]
        key_figures.append(KeyFigure("units", labels("units"), units, "number"))
    sections = [_by_period(facts, labels)]
    for role in ("product", "region"):
        if role in facts.roles:
            sections += _by_name(facts, role, parameters.top_n, labels)
    return key_figures, sections, []


def _orders(facts: Facts) -> str:
    counted = "DISTINCT order_id" if "order_id" in facts.roles else "*"
    return f"count({counted}) FILTER (amount >= 0)"


def _by_period(facts: Facts, labels: Labels) -> Section:
    found = {
        step: values
        for step, *values in facts.execute(
            f"SELECT step, sum(amount), {_orders(facts)}, "
            "coalesce(sum(amount) FILTER (amount < 0), 0) FROM chosen GROUP BY step"
        )
    }
    rows = []
    before = None
    for step in facts.steps:
        revenue, orders, refunds = found.get(step.first, (0, 0, 0))
        rows.append([step, revenue, refunds, orders, growth(revenue, before)])
        before = revenue
    columns = [
        Column("period", labels("period"), "step"),
        Column("revenue", labels("revenue"), "money"),
        Column("refunds", labels("refunds"), "money"),
        Column("orders", labels("orders"), "count"),
        Column("growth", labels("growth"), "share"),
    ]
    chart = Chart(
        "columns", facts.steps, [Series(labels("revenue"), [row[1] for row in rows])], "money"
    )
    return Section("by_period", labels("by_period"), Table(columns, rows), chart)


def _by_name(facts: Facts, role: str, top_n: int, labels: Labels) -> list[Section]:
    """All names by revenue, and the first of them with the sum of the others."""
    found = facts.execute(
        f"SELECT {role}, sum(amount) AS revenue, {_orders(facts)} FROM chosen "
        f"GROUP BY {role} ORDER BY revenue DESC, {role}"
    )
    total = sum(revenue for _, revenue, _ in found)
    rows = [
        [name or labels("not_given"), revenue, ratio(revenue, total), orders]
        for name, revenue, orders in found
    ]
    columns = [
        Column(role, labels(role), "text"),
        Column("revenue", labels("revenue"), "money"),
        Column("share", labels("share"), "share"),
        Column("orders", labels("orders"), "count"),
    ]
    # In a sum of orders, an order with products of two names would count twice.
    top = with_rest(rows, top_n, labels, adds_up=(1, 2))
    every = with_rest(rows, MOST_ROWS, labels, adds_up=(1, 2))
    bars = rows[:top_n]
    revenues = Series(labels("revenue"), [row[1] for row in bars])
    chart = Chart("bars", [row[0] for row in bars], [revenues], "money")
    # On paper, a short list would repeat its top.
    short = len(rows) <= max(SHORT_LIST, top_n)
    top_title = labels(f"top_{role}s")
    return [
        Section(f"top_{role}s", top_title, Table(columns, top), chart, on_paper=not short),
        Section(
            f"by_{role}", labels(f"by_{role}"), Table(columns, every), chart if short else None
        ),
    ]
