"""The tables of ``docs/scale.md``: what breaks first, what a month costs, how fleets follow."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from bench.scaling.limits import Limit, first_to_break
from bench.scaling.rises import BEFORE, Rise
from bench.scaling.traffic import Traffic
from celeriac.cdk.prices import worker_hour

RATES = (100, 1_000, 10_000)
#: As AWS counts one.
MONTH = timedelta(hours=730)


@dataclass(frozen=True, kw_only=True)
class Month:
    """What a steady load costs in a month, in dollars."""

    workers: float
    http: float
    records: float
    messages: float
    logs: float
    following: float

    @property
    def total(self) -> float:
        return float(sum(vars(self).values()))


def month(traffic: Traffic, *, spot: float) -> Month:
    """The cost of a load, on workers with public addresses."""
    tasks = traffic.rate * MONTH.total_seconds()
    hour = worker_hour(traffic.queue, spot=spot, public_address=True)
    return Month(
        workers=traffic.workers * hour * (MONTH / timedelta(hours=1)),
        http=tasks * traffic.task.http,
        records=tasks * traffic.task.records,
        messages=tasks * traffic.task.messages,
        logs=tasks * traffic.task.logs,
        following=tasks * traffic.following.total if traffic.following else 0,
    )


def limits_table(found: Iterable[Limit], traffic: Traffic, rates: Sequence[int] = RATES) -> str:
    """What each rate demands of each limit, the first to break first. Bold is too much."""
    columns = " | ".join(f"{rate:,}/s" for rate in rates)
    lines = [
        f"| breaks at | what | is | {columns} | to raise |",
        "|--:|---|--:|" + "--:|" * len(rates) + "---|",
    ]
    for limit in first_to_break(found, traffic):
        demands = [limit.demand(replace(traffic, rate=rate)) for rate in rates]
        cells = " | ".join(
            f"**{_whole(each)}**" if each > limit.most else _whole(each) for each in demands
        )
        account = " ¹" if limit.scope == "account" else ""
        lines.append(
            f"| {limit.breaks_at(traffic):,.0f}/s | {limit.name}{account} | {_value(limit)} "
            f"| {cells} | {limit.remedy} |"
        )
    return "\n".join(lines)


def costs_table(traffic: Traffic, *, spot: float, rates: Sequence[int] = RATES) -> str:
    """What a month of each rate costs, in dollars."""
    lines = [
        "| tasks | workers | HTTP and Lambda | DynamoDB | SQS | logs | following | in all |",
        "|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for rate in rates:
        cost = month(replace(traffic, rate=rate), spot=spot)
        parts = (*vars(cost).values(), cost.total)
        lines.append(f"| {rate:,}/s | " + " | ".join(f"{each:,.0f}" for each in parts) + " |")
    return "\n".join(lines)


def rises_table(found: Iterable[Rise]) -> str:
    """The longest wait of each rise."""
    lines = [
        "| to | `max_workers` | " + " | ".join(f"from {before}" for before in BEFORE) + " |",
        "|--:|--:|" + "--:|" * len(BEFORE),
    ]
    by_rate: dict[int, list[Rise]] = {}
    for each in found:
        by_rate.setdefault(each.rate, []).append(each)
    for rate, group in by_rate.items():
        waits = " | ".join(str(timedelta(seconds=each.outcome.longest_wait)) for each in group)
        lines.append(f"| {rate:,}/s | {group[0].max_workers} | {waits} |")
    return "\n".join(lines)


def _whole(number: float) -> str:
    """Rounded up: so much is needed."""
    return f"{math.ceil(round(number, 6)):,}"


def _value(limit: Limit) -> str:
    """The limit's value, which leads to where AWS documents it."""
    value = f"{limit.most:,.0f}"
    if limit.source.startswith("docs.aws.amazon.com"):
        value = f"[{value}](https://{limit.source})"
    return (
        value if limit.new_account is None else f"{value} (new account: {limit.new_account:,.0f})"
    )
