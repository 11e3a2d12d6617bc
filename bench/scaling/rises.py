"""Loads that rise at once, on fleets whose ``max_workers`` is raised to what the rate needs."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from bench.scaling.fleet import STEP
from bench.scaling.loads import MINUTE, Arrivals, Load
from bench.scaling.simulation import Outcome, play
from bench.scaling.traffic import Traffic
from celeriac.cdk.scaling import scaling
from celeriac.contract import Catalogue
from infra.cdk.environments import PROD

#: How long each of both rates lasts.
LASTS = 30 * MINUTE
#: Of the rate that a load rises to: the rate before.
BEFORE = {"nothing": 0.0, "a tenth": 0.1, "half": 0.5}


@dataclass(frozen=True, kw_only=True)
class Rise:
    """A load that rises from a share of its rate, and what became of it."""

    rate: int
    before: str
    max_workers: int
    outcome: Outcome


def rises(catalogue: Catalogue, rates: Iterable[int]) -> Iterable[Rise]:
    """Each rise to each rate, of tasks of one second. Only what arrives after the rise counts."""
    for rate in rates:
        traffic = Traffic(rate=rate)
        most = math.ceil(traffic.workers)
        queue = replace(traffic.queue, fleet=replace(traffic.queue.fleet, max_workers=most))
        plan = scaling(queue, catalogue, oldest_age=PROD.oldest_age, idle=PROD.idle)
        for before, share in BEFORE.items():
            load = Load(
                name=f"{rate}/s after {before}",
                arrivals=_rising(round(share * rate), rate),
                lasts=2 * LASTS,
                run_seconds=traffic.run_seconds,
                counts_from=LASTS,
            )
            yield Rise(rate=rate, before=before, max_workers=most, outcome=play(queue, plan, load))


def _rising(before: int, after: int) -> Arrivals:
    return lambda now: STEP * (before if now < LASTS else after)
