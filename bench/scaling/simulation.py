"""Simulate one load on one fleet, and record violations of the rules."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from bench.scaling.autoscaling import AutoScaling
from bench.scaling.cloudwatch import USUAL, Counts, Lag, Metrics
from bench.scaling.fleet import STEP, Fleet
from bench.scaling.loads import HOUR, LOADS, MINUTE, Load
from celeriac.cdk.prices import worker_hour
from celeriac.cdk.scaling import PERIOD, WAKE_MINUTES, Scaling, scaling
from celeriac.contract import Catalogue, Queue
from celeriac.operations.waking import INTERVAL
from celeriac.settings import Settings
from celeriac.topology import LONGEST_DELAY
from infra.cdk.environments import DEV
from tasks.queues import DEFAULT

#: A worker that must stop gives its tasks this long to end.
DRAIN: timedelta = Settings.model_fields["drain_window"].default

LEFT_ALONE = "a message waited with no worker that receives, or is on its way"
KILLED = "a worker was scaled in whose task outlasted its drain"
SHRUNK = "a policy that is to add workers took some away"
GROWN = "the policy that takes workers away asked for more than there were"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of a load. Times are in seconds; ``violations`` must be empty.

    ``deployment`` is the duration of a deployment, if there was one and it ended. ``started`` is
    how many workers were.
    """

    name: str
    tasks: int
    first_start: int
    longest_wait: int
    deepest: int
    took: int
    worker_hours: float
    cost: float
    violations: tuple[str, ...]
    at_rest: bool
    deployment: int | None
    started: int


class _Watch:
    """Checks the rules that must always hold."""

    def __init__(self, plan: Scaling, lag: Lag) -> None:
        self._sees = int(plan.fit_window / PERIOD) + lag.ecs
        self._ran: list[int] = []
        # The rest of the message's first minute, and then the alarm's own time.
        self._allowed = MINUTE * (1 + lag.sqs + WAKE_MINUTES)
        self._alone_since = math.inf
        self.found: set[str] = set()

    def look(self, now: int, fleet: Fleet, metrics: Metrics) -> None:
        alone = fleet.visible and fleet.deaf
        # Until SQS publishes counts again, only the API knows of the message.
        if not alone or metrics.silent:
            self._alone_since = math.inf
        self._alone_since = min(self._alone_since, now)
        if alone and now - self._alone_since > self._allowed:
            self.found.add(LEFT_ALONE)
        if fleet.killed:
            self.found.add(KILLED)

    def ran(self, workers: int) -> None:
        """Check one minute."""
        self._ran.append(workers)

    def resized(self, by: str, was: int, desired: int) -> None:
        if by == "fit" and desired > max(self._ran[-self._sees :]):
            self.found.add(GROWN)
        if by != "fit" and desired < was:
            self.found.add(SHRUNK)


def play(
    queue: Queue,
    plan: Scaling,
    load: Load,
    *,
    nudged: bool = True,
    lag: Lag = USUAL,
    protected: bool = True,
    lenient: bool = False,
    rebalances: bool = False,
    deploy_at: int | None = None,
) -> Outcome:
    """Run one load to its end, then until the fleet is asleep or a day has passed.

    ``nudged``: a submit wakes a sleeping fleet (``celeriac.operations.waking``). ``lenient``: ECS
    renews a protection at any desired size. ``rebalances``: it evens out the zones. At
    ``deploy_at`` (seconds) all workers are replaced.
    """
    fleet = Fleet(
        processes=plan.processes,
        run_seconds=load.run_seconds,
        seldom=load.seldom,
        drain=DRAIN,
        protected=protected,
        lenient=lenient,
        rebalances=rebalances,
    )
    metrics, policies, watch = Metrics(lag), AutoScaling(plan), _Watch(plan, lag)
    looked, ended, now, deployment = -math.inf, 0, 0, None
    uncounted = 0
    while now < load.lasts or (not fleet.at_rest and now < load.lasts + 24 * HOUR):
        arriving = load.arrivals(now) if now < load.lasts else 0
        fleet.at(now)
        fleet.arrive(arriving, load.delay)
        uncounted += arriving if now < load.counts_from else 0
        wakes = nudged and arriving and load.delay <= LONGEST_DELAY
        if wakes and now - looked >= INTERVAL.total_seconds():
            looked = now
            fleet.desired = fleet.desired or 1
        if now == deploy_at:
            fleet.deploy()
        fleet.step()
        if deploy_at is not None and now >= deploy_at and not fleet.deploying:
            deployment = now - deploy_at if deployment is None else deployment
        ended = ended if fleet.empty else now
        if now % MINUTE == 0:
            metrics.publish(
                Counts(
                    visible=fleet.visible,
                    in_flight=fleet.in_flight,
                    delayed=fleet.delayed,
                    running=fleet.ready,
                )
            )
            watch.ran(fleet.ready)
            decision = policies.decide(metrics, fleet.desired)
            if decision is not None:
                watch.resized(decision.by, fleet.desired, decision.desired)
                fleet.desired = decision.desired
        watch.look(now, fleet, metrics)
        now += STEP
    hours = fleet.worker_seconds / HOUR
    return Outcome(
        name=load.name,
        tasks=len(fleet.waits),
        first_start=fleet.waits[0] if fleet.waits else 0,
        # They start in the order in which they arrived.
        longest_wait=max(fleet.waits[uncounted:], default=0),
        deepest=fleet.deepest,
        took=ended,
        worker_hours=hours,
        cost=hours * worker_hour(queue, spot=queue.fleet.spot or 0, public_address=True),
        violations=tuple(sorted(watch.found)),
        at_rest=fleet.at_rest,
        deployment=deployment,
        started=fleet.started,
    )


def plan_of(queue: Queue, catalogue: Catalogue) -> Scaling:
    """The policies of a queue in the smaller environment."""
    return scaling(queue, catalogue, oldest_age=DEV.oldest_age, idle=DEV.idle)


def outcomes(
    catalogue: Catalogue,
    queue: Queue = DEFAULT,
    *,
    nudged: bool = True,
    lag: Lag = USUAL,
    lenient: bool = False,
    loads: Iterable[Load] = LOADS,
) -> Iterable[Outcome]:
    """Every load, on one queue's fleet."""
    plan = plan_of(queue, catalogue)
    for load in loads:
        yield play(queue, plan, load, nudged=nudged, lag=lag, lenient=lenient)
