"""What bounds a deployment, as data: which bound a load meets first is computed.

AWS's values are its published defaults of November 2026; a new account may have less. Nothing here
was tried against an account.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal

from bench.scaling.traffic import Traffic
from celeriac.cdk import Environment, WarmThroughput
from celeriac.cdk.spot import share
from celeriac.contract import Catalogue, Queue
from celeriac.topology import OPEN_SHARDS
from infra.cdk.environments import PROD
from tasks.queues import DEFAULT

#: Whose it is: ``account`` bounds all deployments of an account and region together.
Scope = Literal["account", "deployment"]
#: How it is raised: by an option of the deployment, by asking AWS, or not at all.
Raised = Literal["option", "request", "never"]

_DYNAMODB = "docs.aws.amazon.com/amazondynamodb/latest/developerguide"
_ECS = "docs.aws.amazon.com/AmazonECS/latest/developerguide"


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A bound of a deployment, and what a load demands of it.

    ``most`` is its value: an option's as shipped, or AWS's published default. ``new_account`` is
    what a new account is known to begin with, if that is less.
    """

    name: str
    most: float
    demand: Callable[[Traffic], float]
    scope: Scope
    raised: Raised
    remedy: str
    source: str
    new_account: float | None = None

    def breaks_at(self, traffic: Traffic) -> float:
        """The rate at which such tasks demand all of it; infinite if they demand none."""
        low, high = 0.0, 1e9
        if self._holds(traffic, high):
            return math.inf
        # A demand rises with the rate, though not always in proportion.
        while high - low > 1e-6 * high:
            middle = (low + high) / 2
            low, high = (middle, high) if self._holds(traffic, middle) else (low, middle)
        return low

    def _holds(self, traffic: Traffic, rate: float) -> bool:
        return self.demand(replace(traffic, rate=rate)) <= self.most


def limits(
    catalogue: Catalogue, environment: Environment = PROD, queue: Queue = DEFAULT
) -> tuple[Limit, ...]:
    """The bounds of a deployment, for traffic of this queue."""
    warm = environment.warm_throughput or WarmThroughput()
    return (
        *_fleet(queue, share(queue, catalogue)),
        *_http(environment),
        *_table(environment, warm),
        Limit(
            name="messages in flight of a queue",
            most=120_000,
            demand=lambda traffic: traffic.in_flight,
            scope="deployment",
            raised="request",
            remedy="several queues; a request to AWS",
            source="docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/"
            "quotas-queues.html",
        ),
        Limit(
            name="objects written to a prefix of S3, a second",
            most=3_500,
            demand=lambda traffic: traffic.objects,
            scope="deployment",
            raised="never",
            remedy="payloads and results of up to 32 KB; S3 divides busy prefixes by itself",
            source="docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html",
        ),
    )


def first_to_break(found: Iterable[Limit], traffic: Traffic) -> list[Limit]:
    """Those that such tasks can meet, the first to break first."""
    met = [each for each in found if each.breaks_at(traffic) < math.inf]
    return sorted(met, key=lambda each: each.breaks_at(traffic))


def cell(found: Iterable[Limit], traffic: Traffic) -> Limit:
    """What bounds a deployment whose options are raised, with AWS's defaults of its own parts."""
    own = [each for each in found if each.scope == "deployment" and each.raised != "option"]
    return first_to_break(own, traffic)[0]


def _fleet(queue: Queue, spot: float) -> tuple[Limit, ...]:
    quotas = "docs.aws.amazon.com/general/latest/gr/ecs-service.html"
    return (
        Limit(
            name=f"workers of the `{queue.name}` fleet",
            most=queue.fleet.max_workers,
            demand=lambda traffic: traffic.workers,
            scope="deployment",
            raised="option",
            remedy="`Fleet.max_workers`",
            source="tasks/queues.py",
        ),
        Limit(
            name="vCPUs of Fargate",
            most=6,
            demand=lambda traffic: traffic.vcpus * (1 - spot),
            scope="account",
            raised="request",
            remedy="quota of `fargate`; `spot` moves a share to the next quota",
            source=quotas,
        ),
        Limit(
            name="vCPUs of Fargate Spot",
            most=6,
            demand=lambda traffic: traffic.vcpus * spot,
            scope="account",
            raised="request",
            remedy="quota of `fargate`",
            source=quotas,
        ),
        Limit(
            name="workers of one ECS service",
            most=5_000,
            demand=lambda traffic: traffic.workers,
            scope="deployment",
            raised="request",
            remedy="larger workers: `Fleet(cpu, processes)`; several queues; quota of `ecs`",
            source=f"{_ECS}/service-quotas.html",
        ),
        Limit(
            name="network interfaces",
            most=5_000,
            demand=lambda traffic: traffic.workers,
            scope="account",
            raised="request",
            remedy="larger workers; quota of `vpc`",
            source="docs.aws.amazon.com/vpc/latest/userguide/amazon-vpc-limits.html",
        ),
        Limit(
            name="calls of DescribeServices, a second",
            most=20,
            demand=lambda traffic: traffic.service_looks,
            scope="account",
            raised="request",
            remedy="a request to AWS; until then the alarm wakes fleets, minutes later",
            source="docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html",
        ),
    )


def _http(environment: Environment) -> tuple[Limit, ...]:
    return (
        Limit(
            name="requests a second of the deployment",
            most=environment.requests_per_second,
            demand=lambda traffic: traffic.requests,
            scope="deployment",
            raised="option",
            remedy="`Environment.requests_per_second`; batches of submissions",
            source="infra/cdk/environments.py",
        ),
        Limit(
            name="requests a second of API Gateway",
            most=10_000,
            demand=lambda traffic: traffic.requests,
            scope="account",
            raised="request",
            remedy="quota of `apigateway`; batches of submissions. Newer regions have 2,500",
            source="docs.aws.amazon.com/apigateway/latest/developerguide/limits.html",
        ),
        Limit(
            name="concurrent runs of Lambda",
            most=1_000,
            new_account=10,
            demand=lambda traffic: traffic.functions,
            scope="account",
            raised="request",
            remedy="quota of `lambda`; fewer followers",
            source="docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html",
        ),
    )


def _table(environment: Environment, warm: WarmThroughput) -> tuple[Limit, ...]:
    scenarios = f"{_DYNAMODB}/warm-throughput-scenarios.html"
    quotas = f"{_DYNAMODB}/ServiceQuotas.html"
    partition = f"{_DYNAMODB}/burst-adaptive-capacity.html"

    def by_table(traffic: Traffic) -> float:
        return traffic.table_writes

    def by_index(traffic: Traffic) -> float:
        return traffic.listing_writes

    def by_unfinished(traffic: Traffic) -> float:
        return traffic.unfinished_writes

    def by_reads(traffic: Traffic) -> float:
        return traffic.reads

    at_first = tuple(
        Limit(
            name=name,
            most=most,
            demand=demand,
            scope="deployment",
            raised="option",
            remedy="`Environment.warm_throughput`; a slow start: DynamoDB doubles it in half hours",
            source=scenarios,
        )
        for name, most, demand in (
            ("writes of a new table, a second", warm.write_units, by_table),
            ("writes of a new listing index, a second", warm.write_units, by_index),
            (
                "writes of a new index of unfinished tasks, a second",
                warm.write_units,
                by_unfinished,
            ),
            ("reads of a new table, a second", warm.read_units, by_reads),
        )
    )
    at_last = tuple(
        Limit(
            name=name,
            most=40_000,
            demand=demand,
            scope="deployment",
            raised="request",
            remedy=f"quota of `dynamodb`{besides}",
            source=quotas,
        )
        for name, demand, besides in (
            ("writes of a table, a second", by_table, ""),
            ("writes of an index, a second", by_unfinished, ""),
            ("reads of a table, a second", by_reads, "; fewer followers"),
        )
    )
    return (
        *at_first,
        *at_last,
        Limit(
            name="writes of the partitions of unfinished tasks, a second",
            most=1_000 * OPEN_SHARDS,
            demand=by_unfinished,
            scope="deployment",
            raised="never",
            remedy="several deployments",
            source=partition,
        ),
        Limit(
            name="writes of one tenant's listing, a second",
            most=1_000 * environment.listing_shards,
            demand=by_index,
            scope="deployment",
            raised="option",
            remedy="`Environment.listing_shards`",
            source=partition,
        ),
        Limit(
            name="reads of the heartbeats, a second",
            most=3_000,
            demand=lambda traffic: traffic.heartbeat_reads,
            scope="deployment",
            raised="never",
            remedy="larger workers: `Fleet(cpu, processes)`; until then fleets shrink slowly",
            source=partition,
        ),
    )
