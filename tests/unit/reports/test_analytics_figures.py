"""Analytics figures against the same counts in plain Python."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from .conftest import Make

FUNNEL = ["visit", "signup", "visit", "purchase"]


def journeys(seed: int) -> list[dict[str, str]]:
    """Users with irregular visits, some of them known since before the period."""
    rng = random.Random(seed)
    rows = []
    for user in range(150):
        moment = datetime(2024, 1, 1) + timedelta(minutes=rng.randrange(60 * 24 * 150))  # noqa: DTZ001  # local to the report
        for _ in range(rng.randint(1, 9)):
            event = rng.choice(["visit", "visit", "signup", "purchase", "help"])
            revenue = str(Decimal(rng.randint(-500, 9999)) / 100) if event == "purchase" else ""
            rows.append(
                {
                    "user_id": f"u{user}" if rng.random() > 0.02 else "",
                    "date": moment.isoformat(sep=" "),
                    "event": event,
                    "revenue": revenue,
                }
            )
            moment += timedelta(minutes=rng.randrange(60 * 24 * 40))
    rng.shuffle(rows)
    return rows


def reach(events: list[str], funnel: list[str]) -> int:
    """How many steps of a funnel a user's events go through, in order."""
    step = 0
    for event in events:
        if step < len(funnel) and event == funnel[step]:
            step += 1
    return step


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_analytics_agree_with_plain_python(make: Make, seed: int) -> None:
    """Activity, funnel, retention and revenue per user are counted user by user."""
    rows = journeys(seed)
    events = [
        (row["user_id"], datetime.fromisoformat(row["date"]), row["event"], row["revenue"])
        for row in rows
        if row["user_id"]
    ]
    inside = [each for each in events if "2024-03" <= f"{each[1]:%Y-%m}" <= "2024-06"]

    made = make("analytics", rows, funnel=FUNNEL, period={"from": "2024-03-01", "to": "2024-06-30"})
    figures = made.figures

    users = {user for user, *_ in inside}
    assert figures["active_users"] == len(users)
    assert figures["events"] == len(inside)
    revenue = sum(Decimal(paid) for *_, paid in inside if paid)
    assert figures["revenue"] == float(revenue)
    assert figures["revenue_per_user"] == pytest.approx(float(revenue / len(users)), abs=1e-6)
    paying = {user for user, _, _, paid in inside if paid and Decimal(paid) > 0}
    assert figures["paying_users"] == len(paying)

    first_seen: dict[str, datetime] = {}
    for user, moment, *_ in events:
        first_seen[user] = min(moment, first_seen.get(user, moment))
    months = [f"2024-{month:02}" for month in range(3, 7)]
    cohorts: dict[str, set[str]] = defaultdict(set)
    for user, moment in first_seen.items():
        cohorts[f"{moment:%Y-%m}"].add(user)
    active: dict[str, set[str]] = defaultdict(set)
    for user, moment, *_ in inside:
        active[f"{moment:%Y-%m}"].add(user)
    by_period = made.table("by_period", "period")
    for month in months:
        assert by_period[month]["active_users"] == len(active[month])
        assert by_period[month]["new_users"] == len(cohorts[month])
    assert figures["new_users"] == sum(len(cohorts[month]) for month in months)

    retention = made.table("retention", "cohort")
    assert list(retention) == [month for month in months if cohorts[month]]
    for index, month in enumerate(months):
        if not cohorts[month]:
            continue
        assert retention[month]["users"] == len(cohorts[month])
        for offset in range(len(months)):
            share = retention[month][f"step_{offset}"]
            if index + offset >= len(months):
                assert share is None
            else:
                stayed = cohorts[month] & active[months[index + offset]]
                assert share == pytest.approx(len(stayed) / len(cohorts[month]), abs=1e-6)

    sequences: dict[str, list[Any]] = defaultdict(list)
    for user, moment, event, _ in inside:
        sequences[user].append((moment, event))
    reached = [
        reach([event for _, event in sorted(sequence)], FUNNEL) for sequence in sequences.values()
    ]
    counts = [sum(1 for each in reached if each > step) for step in range(len(FUNNEL))]
    assert [row["users"] for row in figures["funnel"]] == counts
    assert figures["conversion"] == pytest.approx(counts[-1] / counts[0], abs=1e-6)


def test_a_funnel_wants_its_steps_in_order(make: Make) -> None:
    """Buying before signing up is not buying after it; the same moment is enough."""
    rows = [
        {"user": "a", "date": "2024-01-02", "event": "signup"},
        {"user": "a", "date": "2024-01-01", "event": "buy"},
        {"user": "b", "date": "2024-01-01", "event": "signup"},
        {"user": "b", "date": "2024-01-01", "event": "buy"},
        {"user": "c", "date": "2024-01-05", "event": "buy"},
    ]
    made = make("analytics", rows, funnel=["signup", "buy"])
    assert [(row["users"], row["from_first"]) for row in made.figures["funnel"]] == [
        (2, 1.0),
        (1, 0.5),
    ]


def test_one_event_serves_one_step(make: Make) -> None:
    """A funnel of the same event twice counts repeated events, not every user twice."""
    rows = [
        {"user": "once", "date": "2024-01-01", "event": "buy"},
        {"user": "again", "date": "2024-01-01", "event": "buy"},
        {"user": "again", "date": "2024-01-09", "event": "buy"},
    ]
    made = make("analytics", rows, funnel=["buy", "buy"])
    assert [row["users"] for row in made.figures["funnel"]] == [2, 1]


def test_without_a_funnel_the_commonest_events_are_its_steps_and_a_note_says_so(make: Make) -> None:
    """A funnel nobody gave is a guess, so the report calls it one."""
    rows = [
        {"user": user, "date": f"2024-01-0{day}", "event": event}
        for user in "abc"
        for day, event in enumerate(["visit", "buy"], 1)
        if user != "c" or event == "visit"
    ]
    made = make("analytics", rows)
    assert [row["event"] for row in made.figures["funnel"]] == ["visit", "buy"]
    assert "No funnel was given" in made.text


def test_who_came_before_the_period_is_in_no_cohort_of_it(make: Make) -> None:
    """A period that begins inside a month doesn't make its early users a cohort."""
    rows = [
        {"user": "old", "date": "2024-01-03", "event": "visit"},
        {"user": "old", "date": "2024-01-20", "event": "visit"},
        {"user": "new", "date": "2024-01-21", "event": "visit"},
    ]
    made = make("analytics", rows, period={"from": "2024-01-15", "to": "2024-02-15"})
    assert made.figures["active_users"] == 2
    assert made.figures["new_users"] == 1
    assert made.figures["retention"] == [
        {"cohort": "2024-01", "users": 1, "step_0": 1.0, "step_1": 0.0}
    ]
