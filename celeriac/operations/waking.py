"""Wakes the workers of a queue if it has none.

A fleet that has nothing to do scales to none. SQS's metrics, which would bring it back, lag by
minutes after hours of idling. So the sender of a task checks, and starts the first worker. The
API does so for a task that it accepts, and a worker for a task that it sends to another queue.
docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-monitoring-using-cloudwatch.html
"""

from __future__ import annotations

import logging
from datetime import timedelta
from time import monotonic

from botocore.exceptions import BotoCoreError, ClientError

from celeriac import clock
from celeriac.records import TaskRecord
from celeriac.storage.services import services
from celeriac.topology import LONGEST_DELAY

log = logging.getLogger(__name__)

#: A process looks at a queue's service at most this often.
INTERVAL = timedelta(seconds=30)

_looked_at: dict[str, float] = {}


def wake_for(record: TaskRecord) -> None:
    """Start a worker for a task that waits, if its queue has none."""
    if not record.terminal:
        wake(record.queue, record.due_at or record.created_at)


def wake(queue_name: str, due_at: clock.Millis = 0) -> None:
    """Start one worker for a queue that has none. Does nothing where workers don't run on ECS.

    A task that SQS delays is worth a worker already: its message keeps that worker, so that it
    starts when it is due. One that is due later has a schedule, and no message until then: a
    worker would be gone again.

    The alarm on waiting messages would start it too, only later: so a fault is logged, and the
    task that was accepted stays accepted.
    """
    cluster = services().settings.cluster_name
    if due_at - clock.now() > clock.millis(LONGEST_DELAY):
        return
    now = monotonic()
    last = _looked_at.get(queue_name)
    if cluster is None or (last is not None and now - last < INTERVAL.total_seconds()):
        return
    _looked_at[queue_name] = now
    ecs = services().ecs
    try:
        found = ecs.describe_services(cluster=cluster, services=[queue_name])["services"]
        if found and found[0]["desiredCount"] == 0:
            if services().pauses.all().of("queue", queue_name):
                return  # it would poll nothing
            ecs.update_service(cluster=cluster, service=queue_name, desiredCount=1)
            log.info("the workers of queue %s slept: one is started", queue_name)
    except (ClientError, BotoCoreError) as error:
        log.warning("the workers of queue %s could not be woken: %s", queue_name, error)


def wake_resumed(queue_name: str) -> None:
    """Start a worker for a queue that was paused, if it has none: tasks may wait there."""
    _looked_at.pop(queue_name, None)
    wake(queue_name)


def forget() -> None:
    """Look again at the next call. For tests."""
    _looked_at.clear()
