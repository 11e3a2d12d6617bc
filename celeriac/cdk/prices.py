"""AWS's list prices in US dollars, for us-east-1 and Linux on ARM, and what a task takes of each.

For estimates on the dashboard and in ``bench``; the bill is AWS's. Compare them with
aws.amazon.com/fargate/pricing and the pages of the other services before you publish a figure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta

from celeriac.contract import Queue
from celeriac.settings import LONGEST_WAIT
from celeriac.storage.values import INLINE_LIMIT, ITEM_LIMIT

FARGATE_VCPU_HOUR = 0.03238
FARGATE_GIB_HOUR = 0.00356
# Spot's price moves; this is its usual distance from the list price.
SPOT_DISCOUNT = 0.7
IPV4_HOUR = 0.005

SQS_REQUEST = 0.40e-6
DYNAMODB_WRITE = 0.625e-6
DYNAMODB_READ = 0.125e-6
S3_WRITE = 5.00e-6
LAMBDA_REQUEST = 0.20e-6
LAMBDA_GIB_SECOND = 0.0000133334
HTTP_API_REQUEST = 1.00e-6
LOG_GB = 0.50

MONTH_HOURS = 730

#: How long the function takes for a call that waits for nothing.
CALL = timedelta(milliseconds=50)
#: MiB of the function that takes submissions.
SUBMITTING_MEMORY = 1024
#: MiB of the function that answers ``GET /tasks/{task_id}``, and so holds the long polls.
FOLLOWING_MEMORY = 256

#: A record is created, claimed and finished, and each leaves it within one unit.
RECORD_WRITES = 3
#: The listing index gets an entry with the record, which doesn't change.
LISTING_WRITES = 1
#: The index of unfinished tasks gets an entry with the record, and loses it at the task's end.
UNFINISHED_WRITES = 2
#: Bytes of a value's item besides its text: its keys, their names and when it expires.
VALUE_ITEM = 85
WRITE_UNIT = 1024
READ_UNIT = 4096


@dataclass(frozen=True, kw_only=True)
class TaskCost:
    """What one submitted task takes, and its cost, without its worker's time.

    It sends one message, with a tenth of a receive and of a delete. One HTTP request is answered by
    a function of 1 GiB. It logs 2 KB. ``payload`` and ``result`` are in bytes of JSON. The payload
    comes with the message, and the claim answers with the record, so the worker reads neither.
    """

    payload: int = 200
    result: int = 200

    @property
    def table_writes(self) -> int:
        """Write units of the table."""
        return RECORD_WRITES + sum(_units(size, WRITE_UNIT) for size in self._values)

    @property
    def writes(self) -> int:
        """Write units of the table, its listing index and its index of unfinished tasks."""
        return self.table_writes + LISTING_WRITES + UNFINISHED_WRITES

    @property
    def objects(self) -> int:
        """How many of payload and result are objects of S3."""
        return sum(size > ITEM_LIMIT for size in self._values)

    @property
    def messages(self) -> float:
        return 1.2 * SQS_REQUEST

    @property
    def records(self) -> float:
        """The record with its payload and result, wherever they are kept."""
        return self.writes * DYNAMODB_WRITE + self.objects * S3_WRITE

    @property
    def http(self) -> float:
        return _call(CALL, SUBMITTING_MEMORY)

    @property
    def logs(self) -> float:
        return 2e-6 * LOG_GB

    @property
    def total(self) -> float:
        return self.messages + self.records + self.http + self.logs

    @property
    def _values(self) -> tuple[int, int]:
        return self.payload, self.result


@dataclass(frozen=True, kw_only=True)
class FollowingCost:
    """What following one task takes that ends after ``seconds``, by long polls, and its cost.

    One poll ends when the task starts, and one when it ends. Each is held for up to the longest
    wait, by a function of ``memory`` MiB. A poll for each further wait and for each report of
    progress comes on top of these.
    """

    seconds: float
    memory: int = FOLLOWING_MEMORY
    result: int = 200

    @property
    def polls(self) -> int:
        return 2 + int(self.seconds / LONGEST_WAIT.total_seconds())

    @property
    def reads(self) -> float:
        """Read units: those of the polls, and the result's."""
        return self.polls + looks(self.seconds, self.polls) + _units(self.result, READ_UNIT)

    @property
    def total(self) -> float:
        calls = self.polls * _call(CALL, self.memory)
        waits = _computed(timedelta(seconds=self.seconds), self.memory)
        return calls + waits + self.reads * DYNAMODB_READ


def looks(seconds: float, polls: int = 1) -> float:
    """How often polls look at a record at most while they wait so long: ``http.long_poll``.

    Twice in a poll's first second, and then once a second.
    """
    return seconds + polls


def worker_hour(queue: Queue, *, spot: float, public_address: bool) -> float:
    """The cost of one worker of a queue for an hour; ``spot`` is its fleet's share of Spot."""
    fleet = queue.fleet
    list_price = (fleet.cpu * FARGATE_VCPU_HOUR + fleet.memory * FARGATE_GIB_HOUR) / 1024
    address = IPV4_HOUR if public_address else 0.0
    return list_price * (1 - spot * SPOT_DISCOUNT) + address


def called_each_hour(*, takes: timedelta, memory: int) -> float:
    """A month of a function that is called each hour."""
    return MONTH_HOURS * (LAMBDA_REQUEST + _computed(takes, memory))


def _units(size: int, unit: int) -> int:
    """The units of the item that keeps a value: none in the record, or in S3."""
    if not INLINE_LIMIT < size <= ITEM_LIMIT:
        return 0
    return math.ceil((size + VALUE_ITEM) / unit)


def _call(takes: timedelta, memory: int) -> float:
    return HTTP_API_REQUEST + LAMBDA_REQUEST + _computed(takes, memory)


def _computed(duration: timedelta, memory: int) -> float:
    return duration.total_seconds() * memory / 1024 * LAMBDA_GIB_SECOND
