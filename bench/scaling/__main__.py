"""Simulate the scaling policies under every load, and print the outcomes.

Columns: the first task's wait for a worker, the longest wait, the deepest backlog, worker-hours,
and their cost.

``python -m bench.scaling limits`` prints the tables of ``docs/scale.md`` instead, for any load.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from datetime import timedelta

from bench.scaling.cloudwatch import USUAL, Lag
from bench.scaling.limits import cell, limits
from bench.scaling.rises import rises
from bench.scaling.scale import RATES, costs_table, limits_table, rises_table
from bench.scaling.simulation import Outcome, outcomes
from bench.scaling.traffic import Traffic
from celeriac.cdk.spot import share
from celeriac.contract import catalogue

LAGS = tuple(Lag(sqs=sqs, ecs=ecs) for sqs in range(3) for ecs in range(3))


def table(nudged: Iterable[Outcome], alone: Iterable[Outcome]) -> str:
    """The outcomes in Markdown, with the API's nudge and without."""
    lines = [
        "| load | nudged | tasks | first start | longest wait | deepest | worker-hours | cost |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for word, found in (("yes", nudged), ("no", alone)):
        lines += [
            f"| {each.name} | {word} | {each.tasks:,} "
            f"| {timedelta(seconds=each.first_start)} | {timedelta(seconds=each.longest_wait)} "
            f"| {each.deepest:,} | {each.worker_hours:.2f} | ${each.cost:.3f} |"
            for each in found
        ]
    return "\n".join(lines)


def main() -> int:
    """Print what was asked for: the outcomes, or the limits of a load."""
    parser = argparse.ArgumentParser(prog="python -m bench.scaling")
    commands = parser.add_subparsers(dest="command")
    of_limits = commands.add_parser("limits", help="what breaks first, and what a month costs")
    usual = Traffic(rate=1)
    of_limits.add_argument("--rates", type=int, nargs="+", default=RATES, metavar="PER_SECOND")
    of_limits.add_argument("--run", type=float, default=usual.run_seconds, metavar="SECONDS")
    of_limits.add_argument(
        "--followed", type=float, default=usual.followed_seconds, metavar="SECONDS"
    )
    of_limits.add_argument("--payload", type=int, default=usual.payload, metavar="BYTES")
    of_limits.add_argument("--result", type=int, default=usual.result, metavar="BYTES")
    of_limits.add_argument(
        "--rises", type=int, nargs="*", default=[], metavar="PER_SECOND", help="simulate rises"
    )
    given = parser.parse_args()
    if given.command is None:
        return simulate()
    traffic = Traffic(
        rate=1,
        run_seconds=given.run,
        followed_seconds=given.followed,
        payload=given.payload,
        result=given.result,
    )
    types = catalogue()
    found = limits(types)
    bound = cell(found, traffic)
    parts = [
        limits_table(found, traffic, given.rates),
        costs_table(traffic, spot=share(traffic.queue, types), rates=given.rates),
        f"One deployment takes {bound.breaks_at(traffic):,.0f} a second: {bound.name}.",
    ]
    if given.rises:
        parts.append(rises_table(rises(types, given.rises)))
    sys.stdout.write("\n\n".join(parts) + "\n")
    return 0


def simulate() -> int:
    """Print the outcomes. Fail if a rule was violated, however late the metrics were."""
    found = {
        (lag, nudged): list(outcomes(catalogue(), nudged=nudged, lag=lag))
        for lag in (*LAGS, Lag(forgotten=True))
        for nudged in (True, False)
    }
    sys.stdout.write(table(found[USUAL, True], found[USUAL, False]) + "\n")
    faults = [
        f"{each.name}, {lag}, {'nudged' if nudged else 'not nudged'}: {fault}"
        for (lag, nudged), all_of_them in found.items()
        for each in all_of_them
        for fault in each.violations or (() if each.at_rest else ("never came to rest",))
    ]
    sys.stderr.write("".join(f"{fault}\n" for fault in faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
