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

#: How far ahead a task may be due. Its record, its input and its schedule are kept until then.
FURTHEST_DUE = timedelta(days=366)

#: The name, after the deployment's prefix, of the function that EventBridge Scheduler calls.
FIRE = "fire"

# Every early receive spends one of these: a message that waits out another worker's lease, one
# handed back by a worker that drains, one whose worker was killed.
MAX_RECEIVES = 20

# The table's partitions, besides those of tasks. A role is granted partitions by these names.
#: Workers' heartbeats.
HEARTBEATS = "workers"
#: API keys.
KEYS = "keys"
#: How many requests each caller has made: each has a partition that begins so.
REQUESTS = "requests#"
#: How many unfinished tasks each tenant has: each has a partition that begins so.
UNFINISHED_COUNTS = "unfinished#"
#: Groups of tasks: each has a partition that begins so.
GROUPS = "group#"
#: Who was told of a task's end: each task has a partition that begins so.
TOLD = "told#"
#: Stamps that are revoked: each has a partition that begins so.
STAMPS = "stamp#"
#: What runs, and when the next may start, under one limit: each has a partition that begins so.
LIMITS = "limit#"
#: Which task stands for the same submissions: each key has a partition that begins so.
SAME = "same#"
#: Schedules: each tenant has a partition that begins so.
SCHEDULES_OF = "schedules#"
#: What schedules fired: each has a partition that begins so.
FIRINGS = "schedule#"
#: What is paused: queues and task types.
PAUSES = "pauses"

# How the keys of the bucket's objects begin. S3 expires objects by that.
#: Artifacts and large values.
TENANT_OBJECTS = "tenants/"
#: What callers uploaded.
UPLOADS = "uploads/"
#: Inputs of tasks that are due later than SQS's delays reach.
DELAYED = "delayed/"

#: A part of an upload whose other parts didn't follow is deleted after this.
#: docs.aws.amazon.com/AmazonS3/latest/userguide/mpu-abort-incomplete-mpu-lifecycle-config.html
UNFINISHED_UPLOADS = timedelta(days=1)

#: A dead letter's age counts from its first sending, so its own queue must keep it for longer.
#: docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html
RETENTION = timedelta(days=10)


@dataclass(frozen=True, kw_only=True)
class QueueShape:
    """The two lanes of one queue, normal and high, with the dead-letter queue of both.

    The lanes are SQS queues of the same attributes.
    """

    queue: Queue
    visibility: timedelta
    retention: timedelta = RETENTION
    max_receives: int = MAX_RECEIVES

    @property
    def lanes(self) -> tuple[str, str]:
        """The names of its lanes, normal and high, without the deployment's prefix."""
        return self.queue.name, self.queue.high_name


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
class Expiry:
    """A rule by which S3 deletes the objects whose keys begin with ``prefix``."""

    name: str
    prefix: str
    days: int


def expiries(*, record_ttl: timedelta, upload_ttl: timedelta) -> tuple[Expiry, ...]:
    """How long the bucket keeps objects, from each one's creation.

    S3 counts whole days and deletes at the midnight (UTC) that follows, so no object goes early.
    docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html
    """
    return (
        # A day more: a record goes before its artifacts, and SQS may delay a task for minutes.
        Expiry(name="expire", prefix=TENANT_OBJECTS, days=_days(record_ttl) + 1),
        Expiry(name="expire-uploads", prefix=UPLOADS, days=_days(upload_ttl)),
        Expiry(name="expire-delayed", prefix=DELAYED, days=_days(FURTHEST_DUE + record_ttl) + 1),
    )


def _days(duration: timedelta) -> int:
    return -(-duration // timedelta(days=1))


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

# Sparse: a task carries its keys from its creation to its end. It has no other attributes, so the
# transitions in between write nothing here.
UNFINISHED = IndexShape(name="unfinished", partition_key="open_pk", sort_key="open_sk")

#: The partitions that spread the index of unfinished tasks. Each takes 1,000 writes a second, and a
#: task makes two. A reader asks all of them, so a release may raise the number and never lower it.
#: docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html
OPEN_SHARDS = 16

TABLE = TableShape(
    partition_key="pk",
    sort_key="sk",
    ttl_attribute="expires_at",
    indexes=(LISTING, FAILURES, UNFINISHED),
)


def queues(catalogue: Catalogue, visibility: timedelta) -> list[QueueShape]:
    """The lanes of each of the catalogue's queues, used or not."""
    return [QueueShape(queue=queue, visibility=visibility) for queue in catalogue.queues]
