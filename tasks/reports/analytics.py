"""Analytics: activity by period, funnel conversion, retention by cohort, revenue per user."""

from __future__ import annotations

from collections import defaultdict
from datetime import date

from tasks.reports.document import (
    Chart,
    Column,
    Content,
    KeyFigure,
    Section,
    Series,
    Table,
    Value,
    growth,
    ratio,
)
from tasks.reports.facts import Facts, bounds
from tasks.reports.labels import Labels
from tasks.reports.parameters import Parameters

# This many steps of a cohort's life fit the width of a page.
MOST_OFFSETS = 12
GUESSED_STEPS = 5


def analytics(facts: Facts, parameters: Parameters, labels: Labels) -> Content:
    """A user is new in the step of their first event in the whole file, before the period too."""
    # Users from before the period are in none of its cohorts.
    step = f"date_trunc('{facts.granularity.value}', min(date))::DATE"
    facts.execute(
        f"CREATE TABLE firsts AS SELECT user, "
        f"CASE WHEN min(date) >= ? AND min(date) < ? THEN {step} END AS cohort "
        "FROM facts GROUP BY user",
        bounds(facts.span),
    )
    users, events = facts.execute("SELECT count(DISTINCT user), count(*) FROM chosen")[0]
    (before,) = facts.execute(
        "SELECT count(DISTINCT user) FROM facts WHERE date >= ? AND date < ?",
        bounds(facts.span.previous if facts.span else None),
    )[0]
    (new,) = facts.execute("SELECT count(cohort) FROM firsts")[0]
    funnel = _funnel(facts, parameters, labels)
    reached = [row[1] for row in funnel.table.rows]
    key_figures = [
        KeyFigure("active_users", labels("active_users"), users, "count", growth(users, before)),
        KeyFigure("new_users", labels("new_users"), new, "count"),
        KeyFigure("events", labels("events"), events, "count"),
    ]
    if len(reached) > 1:
        conversion = ratio(reached[-1], reached[0])
        key_figures.append(KeyFigure("conversion", labels("conversion"), conversion, "share"))
    if "revenue" in facts.roles:
        key_figures += _revenue(facts, users, labels)
    sections = [_by_period(facts, labels), funnel, *_retention(facts, labels)]
    notes = [] if parameters.funnel else [labels("funnel_guessed")]
    return key_figures, sections, notes


def _revenue(facts: Facts, users: int, labels: Labels) -> list[KeyFigure]:
    revenue, paying = facts.execute(
        "SELECT coalesce(sum(revenue), 0), count(DISTINCT user) FILTER (revenue > 0) FROM chosen"
    )[0]
    per_user, per_paying_user = ratio(revenue, users), ratio(revenue, paying)
    return [
        KeyFigure("revenue", labels("revenue"), revenue, "money"),
        KeyFigure("paying_users", labels("paying_users"), paying, "count"),
        KeyFigure("revenue_per_user", labels("revenue_per_user"), per_user, "money"),
        KeyFigure(
            "revenue_per_paying_user", labels("revenue_per_paying_user"), per_paying_user, "money"
        ),
    ]


def _by_period(facts: Facts, labels: Labels) -> Section:
    paid = "revenue" in facts.roles
    found = {
        step: values
        for step, *values in facts.execute(
            "SELECT step, count(DISTINCT user), count(DISTINCT user) FILTER (cohort = step), "
            f"count(*), {'coalesce(sum(revenue), 0)' if paid else '0'} "
            "FROM chosen JOIN firsts USING (user) GROUP BY step"
        )
    }
    rows: list[list[Value]] = []
    for step in facts.steps:
        users, new, events, revenue = found.get(step.first, (0, 0, 0, 0))
        money = [revenue, ratio(revenue, users)] if paid else []
        rows.append([step, users, new, events, *money])
    columns = [
        Column("period", labels("period"), "step"),
        Column("active_users", labels("active_users"), "count"),
        Column("new_users", labels("new_users"), "count"),
        Column("events", labels("events"), "count"),
    ]
    if paid:
        columns += [
            Column("revenue", labels("revenue"), "money"),
            Column("revenue_per_user", labels("revenue_per_user"), "money"),
        ]
    series = [
        Series(labels("active_users"), [row[1] for row in rows]),
        Series(labels("new_users"), [row[2] for row in rows]),
    ]
    chart = Chart("columns", facts.steps, series, "count")
    return Section("by_period", labels("by_period"), Table(columns, rows), chart)


def _funnel(facts: Facts, parameters: Parameters, labels: Labels) -> Section:
    steps = parameters.funnel or [
        event
        for (event,) in facts.execute(
            "SELECT event FROM chosen GROUP BY event ORDER BY count(DISTINCT user) DESC, event "
            f"LIMIT {GUESSED_STEPS}"
        )
    ]
    rows: list[list[Value]] = []
    first = previous = None
    for number, event in enumerate(steps):
        users = _reach(facts, number, event)
        first = users if first is None else first
        rows.append([event, users, ratio(users, first), ratio(users, previous)])
        previous = users
    columns = [
        Column("event", labels("event"), "text"),
        Column("users", labels("users"), "count"),
        Column("from_first", labels("from_first"), "share"),
        Column("from_previous", labels("from_previous"), "share"),
    ]
    chart = Chart("bars", steps, [Series(labels("users"), [row[1] for row in rows])], "count")
    return Section(
        "funnel", labels("funnel"), Table(columns, rows), chart, note=labels("funnel_order")
    )


def _reach(facts: Facts, number: int, event: str) -> int:
    """Count the users with an ``event`` after the previous steps of the funnel.

    The first such event of a user counts. A user who passes the funnel by later events passes it by
    the first ones too. An event counts for one step only, so a funnel may name it twice.
    """
    if number == 0:
        query = (
            "SELECT user, arg_min(id, (date, id)) AS id, min(date) AS date FROM numbered "
            "WHERE event = ? GROUP BY user"
        )
        facts.execute(
            "CREATE TABLE numbered AS "
            "SELECT row_number() OVER () AS id, user, date, event FROM chosen"
        )
    else:
        query = (
            "SELECT user, arg_min(now.id, (now.date, now.id)) AS id, min(now.date) AS date "
            f"FROM numbered AS now JOIN reached{number - 1} AS before USING (user) "
            "WHERE event = ? AND (now.date, now.id) > (before.date, before.id) GROUP BY user"
        )
    facts.execute(f"CREATE TABLE reached{number} AS {query}", (event,))
    return int(facts.execute(f"SELECT count(*) FROM reached{number}")[0][0])


def _retention(facts: Facts, labels: Labels) -> list[Section]:
    """Cohorts that began in the period. A step after the period's end stays blank."""
    steps = facts.steps
    active: dict[date, dict[date, int]] = defaultdict(dict)
    for cohort, step, users in facts.execute(
        "SELECT cohort, step, count(DISTINCT user) FROM chosen JOIN firsts USING (user) "
        "WHERE cohort IS NOT NULL GROUP BY cohort, step"
    ):
        active[cohort][step] = users
    width = min(MOST_OFFSETS, len(steps))
    rows: list[list[Value]] = []
    for index, cohort in enumerate(steps):
        by_step = active[cohort.first]
        size = by_step.get(cohort.first)
        if size is None:
            continue
        later = steps[index : index + width]
        shares = [ratio(by_step.get(step.first, 0), size) for step in later]
        rows.append([cohort, size, *shares, *[None] * (width - len(later))])
    if not rows:
        return []
    columns = [
        Column("cohort", labels("cohort"), "step"),
        Column("users", labels("users"), "count"),
        *(Column(f"step_{offset}", str(offset), "share", shaded=True) for offset in range(width)),
    ]
    note = labels("retention_note")
    return [Section("retention", labels("retention"), Table(columns, rows), note=note)]
