"""How much of a fleet runs on Fargate Spot, which AWS takes away with two minutes' notice.

A task that takes longer than the notice would start over, on another worker that may be taken away
too. ECS gives no Spot worker's place to an on-demand one:
github.com/aws/containers-roadmap/issues/852, 773
"""

from __future__ import annotations

from datetime import timedelta

from celeriac.cdk.constructs.worker_service import RETURNING
from celeriac.contract import Catalogue, Queue

#: docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-capacity-providers.html
NOTICE = timedelta(minutes=2)
USUAL = 0.7


def share(queue: Queue, catalogue: Catalogue) -> float:
    """The share of a queue's workers that run on Spot, 0 to 1."""
    if queue.fleet.spot is not None:
        return queue.fleet.spot
    types = catalogue.on(queue)
    fits = all(each.time_limit <= NOTICE - RETURNING for each in types)
    return USUAL if types and fits else 0.0
