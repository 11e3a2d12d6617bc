"""What must exist in AWS, derived from the catalogue: queues, table, bucket, schedules.

Plain data. The CDK makes a CloudFormation template of it and ``celeriac.local`` makes moto's
resources of it, so the two can't drift apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from celeriac.contract import Catalogue, Queue
from celeriac.contract.queues import DEAD_LETTER_SUFFIX, SCHEDULES_NAME

# SQS keeps a message for 14 days at most.
# docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
LONGEST_RETENTION = timedelta(days=14)

#: SQS delays a message by this much at most. A longer delay is a schedule's.
#: docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
LONGEST_DELAY = timedelta(minutes=15)

# Every early receive spends one of these: a message that waits out another worker's lease, one
# handed back by a worker that drains, one whose worker was killed.
MAX_RECEIVES = 20

# The table's partitions, besides those of tasks. A role is granted partitions by these names.
#: Workers' heartbeats.
HEARTBEATS = "workers"
#: API keys.
KEYS = "keys"
#: The tenants of tokens.
TENANTS = "tenants"
#: When the last repair began.
REPAIRS = "maintenance"
#: How many requests each caller has made: each has a partition that begins so.
REQUESTS = "requests#"
#: Groups of tasks: each has a partition that begins so.
GROUPS = "group#"
#: Who was told of a task's end: each task has a partition that begins so.
TOLD = "told#"
#: Stamps that are revoked: each has a partition that begins so.
STAMPS = "stamp#"


#: A dead letter's age counts from its first sending, so its own queue must keep it for longer.
#: docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html
RETENTION = timedelta(days=10)


@dataclass(frozen=True, kw_only=True)
class QueueShape:
    """One SQS queue with its dead-letter queue."""

    queue: Queue
    visibility: timedelta
    retention: timedelta = RETENTION
    max_receives: int = MAX_RECEIVES


@dataclass(frozen=True, kw_only=True)
class IndexShape:
    """A global secondary index. ``projects`` are the attributes copied besides the keys."""

    name: str
    partition_key: str
    sort_key: str
    projects: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TableShape:
    """The DynamoDB table. All keys are strings; billing is on demand."""

    partition_key: str
    sort_key: str
    ttl_attribute: str
    indexes: tuple[IndexShape, ...]
    billing: Literal["PAY_PER_REQUEST"] = "PAY_PER_REQUEST"


@dataclass(frozen=True, kw_only=True)
class SchedulesShape:
    """The group of EventBridge schedules, and the queue that keeps what they could not send.

    ``settings.schedule_group`` names the group; the queue's name follows the deployment's prefix,
    as every queue's does.
    """

    dead_letter_name: str
    retention: timedelta = LONGEST_RETENTION


SCHEDULES = SchedulesShape(dead_letter_name=f"{SCHEDULES_NAME}{DEAD_LETTER_SUFFIX}")


# Written once, when a task is created: a projected attribute that changed would cost another
# write at each transition.
LISTING = IndexShape(
    name="listing", partition_key="list_pk", sort_key="list_sk", projects=("type", "tags")
)
# Sparse: only failed tasks carry its partition key.
FAILURES = IndexShape(
    name="failures", partition_key="failed_pk", sort_key="list_sk", projects=("type", "tags")
)

TABLE = TableShape(
    partition_key="pk", sort_key="sk", ttl_attribute="expires_at", indexes=(LISTING, FAILURES)
)


def queues(catalogue: Catalogue, visibility: timedelta) -> list[QueueShape]:
    """A queue for each of the catalogue's, used or not."""
    return [QueueShape(queue=queue, visibility=visibility) for queue in catalogue.queues]
