"""Whether this worker is one of those of its ECS service that are to go.

The oldest are, as many as there are too many: each finds out by itself whether it is one, and
all find the same. In a deployment they are those of the one before, once new ones have started.
"""

from __future__ import annotations

import logging

from botocore.exceptions import BotoCoreError, ClientError
from celery import current_app

from celeriac.services import services

log = logging.getLogger(__name__)


def surplus(worker_id: str) -> bool:
    """Look at the services of the queues that this worker consumes, which are named like them.

    A fault is logged, and nobody is to go: who is busy goes on.
    """
    cluster = services().settings.cluster_name
    if cluster is None:
        return False
    queues = sorted(current_app.amqp.queues.consume_from)
    try:
        found = services().ecs.describe_services(cluster=cluster, services=queues)["services"]
        return any(
            worker_id in _to_go(each["serviceName"], each["desiredCount"])
            for each in found
            if each["runningCount"] > each["desiredCount"]
        )
    except (ClientError, BotoCoreError) as error:
        log.warning("it isn't known which workers are to go: %s", error)
        return False


def _to_go(queue: str, desired: int) -> list[str]:
    """The oldest workers of a queue, but for so many. Those that end already don't count."""
    alive = [
        each for each in services().workers.list() if queue in each.queues and not each.stopping
    ]
    alive.sort(key=lambda each: (each.started_at, each.id))
    return [each.id for each in alive[: max(0, len(alive) - desired)]]
