"""Play the scaling policies over every load, and print what came of it.

Columns: how long the first task waited for a worker; the longest any waited; the deepest backlog;
worker-hours; what they cost.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import timedelta

from bench.scaling.cloudwatch import USUAL, Lag
from bench.scaling.simulation import Outcome, outcomes
from tasks.contract import catalogue

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
    """Print the table; fail if anything happened that must not, however late the metrics are."""
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
