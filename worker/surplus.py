"""Whether some of this worker's ECS service are to go: it shrinks, or is deployed anew."""

from __future__ import annotations

import logging

from botocore.exceptions import BotoCoreError, ClientError
from celery import current_app

from celeriac.services import services

log = logging.getLogger(__name__)


def surplus() -> bool:
    """Look at the services of the queues that this worker consumes.

    A fault is logged, and nobody leaves: whoever is busy goes on.
    """
    cluster = services().settings.cluster_name
    if cluster is None:
        return False
    queues = sorted(current_app.amqp.queues.consume_from)
    try:
        found = services().ecs.describe_services(cluster=cluster, services=queues)["services"]
    except (ClientError, BotoCoreError) as error:
        log.warning("it isn't known whether workers are to go: %s", error)
        return False
    return any(
        each["runningCount"] > each["desiredCount"] or len(each["deployments"]) > 1
        for each in found
    )
