"""The queues: how full they are, how late they run, and how to empty one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from celery.app.task import Context

from celeriac import clock, states
from celeriac.app import telemetry
from celeriac.app.factory import CeleriacApp, celery_app
from celeriac.contract import Queue
from celeriac.errors import CeleriacError
from celeriac.records import LeaseLostError
from celeriac.storage.services import services
from celeriac.transport import tens
from celeriac.transport.message import MalformedMessageError, Message
from celeriac.transport.tens import BATCH_LIMIT

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch.type_defs import MetricDataQueryTypeDef
    from mypy_boto3_sqs.type_defs import MessageTypeDef

#: Long enough that SQS asks all of its servers: a shorter poll may miss messages.
POLL = timedelta(seconds=1)
#: How long what is being purged or redriven stays hidden from workers.
HOLD = timedelta(seconds=60)

#: SQS reports to CloudWatch once a minute, and some minutes late.
_AGE_PERIOD = timedelta(minutes=1)
_AGE_LOOKBACK = timedelta(minutes=10)


class QueueNotFoundError(CeleriacError):
    """There is no queue of this name."""

    def __init__(self, name: str, queues: Iterable[Queue]) -> None:
        known = ", ".join(queue.name for queue in queues)
        super().__init__(f"There is no queue {name!r}. There are {known}.")
        self.name = name


@dataclass(frozen=True, kw_only=True)
class QueueStatus:
    """How many messages a queue's two lanes hold together.

    SQS's counts are approximate, and settle within a minute.

    ``waiting`` messages can be received now, ``in_flight`` ones are held by workers, ``delayed``
    ones aren't due yet; longer delays are schedules, and not counted. ``oldest_age`` is how long
    the oldest message has been there; None where the queue is empty or CloudWatch doesn't know.
    ``high`` of the waiting ones are in the lane of urgent tasks.
    """

    queue: Queue
    waiting: int
    high: int
    in_flight: int
    delayed: int
    dead_letters: int
    oldest_age: timedelta | None


@dataclass(frozen=True, kw_only=True)
class Purged:
    """What a purge did: the ids of the tasks it ended; how many messages it removed in all.

    ``finished`` is False if time ran out with messages left: purge again.
    """

    revoked: list[str]
    removed: int
    finished: bool


def queue_named(name: str, queues: Sequence[Queue]) -> Queue:
    """The queue of this name. Raises ``QueueNotFoundError``."""
    for queue in queues:
        if queue.name == name:
            return queue
    raise QueueNotFoundError(name, queues)


def status(queues: Sequence[Queue]) -> list[QueueStatus]:
    """How full these queues are.

    Three SQS requests for each queue, and one of CloudWatch for all that hold messages.

    Raises:
        botocore.exceptions.BotoCoreError: AWS can't be reached.
        botocore.exceptions.ClientError: it refused.
    """
    settings = services().settings
    urls = [url for queue in queues for url in settings.lane_urls(queue)]
    urls += [settings.dead_letter_url(queue) for queue in queues]
    # boto3 makes its clients before the threads, which then only call them.
    _ = services().sqs
    with ThreadPoolExecutor(len(urls)) as pool:
        counts = dict(zip(urls, pool.map(counts_of, urls), strict=True))
    busy = [url for queue in queues for url in settings.lane_urls(queue) if sum(counts[url])]
    ages = _oldest_ages(busy)
    found = []
    for queue in queues:
        normal, high = settings.lane_urls(queue)
        waiting, in_flight, delayed = (
            sum(both) for both in zip(counts[normal], counts[high], strict=True)
        )
        found.append(
            QueueStatus(
                queue=queue,
                waiting=waiting,
                high=counts[high][0],
                in_flight=in_flight,
                delayed=delayed,
                dead_letters=sum(counts[settings.dead_letter_url(queue)]),
                oldest_age=max((ages[url] for url in (normal, high) if url in ages), default=None),
            )
        )
    return found


def purge(
    queue: Queue,
    *,
    dead_letters: bool = False,
    within: timedelta | None = None,
    app: CeleriacApp | None = None,
) -> Purged:
    """Remove the messages that wait in a queue, and end their tasks as REVOKED.

    Tasks that run go on, and so do those a worker has received already. Delayed tasks aren't
    messages that can be received, and stay. SQS's own PurgeQueue would leave records
    PENDING, until ``cleanup`` sends their messages again. Here a record ends first and its message
    is deleted second, so a purge that stops half-way has only removed less.

    Args:
        dead_letters: remove the queue's dead letters instead; their tasks have mostly ended.
        within: when to stop, finished or not; never unless given.

    Raises:
        botocore.exceptions.BotoCoreError: AWS can't be reached.
        botocore.exceptions.ClientError: it refused.
    """
    app = app or celery_app()
    settings = services().settings
    urls = [settings.dead_letter_url(queue)] if dead_letters else [*settings.lane_urls(queue)]
    ends_at = float("inf") if within is None else monotonic() + within.total_seconds()
    revoked: list[str] = []
    removed = 0
    with ThreadPoolExecutor(BATCH_LIMIT) as pool:
        while monotonic() < ends_at:
            batch = receive(urls[0], hidden_for=HOLD)
            if not batch:
                urls.pop(0)
                if not urls:
                    return Purged(revoked=revoked, removed=removed, finished=True)
                continue
            ended = pool.map(partial(_revoke, app), batch)
            revoked += [task_id for task_id in ended if task_id is not None]
            delete(urls[0], batch)
            removed += len(batch)
    return Purged(revoked=revoked, removed=removed, finished=False)


def receive(url: str, *, hidden_for: timedelta) -> list[MessageTypeDef]:
    """Up to ten messages of a queue; none means that there are none."""
    answer = services().sqs.receive_message(
        QueueUrl=url,
        MaxNumberOfMessages=BATCH_LIMIT,
        WaitTimeSeconds=int(POLL.total_seconds()),
        VisibilityTimeout=int(hidden_for.total_seconds()),
        MessageAttributeNames=["why"],
        MessageSystemAttributeNames=["SentTimestamp"],
    )
    return answer.get("Messages", [])


def delete(url: str, messages: list[MessageTypeDef]) -> None:
    """Delete received messages. SQS delivers one again that can't be deleted."""
    handles = [{"ReceiptHandle": each["ReceiptHandle"]} for each in messages]
    list(tens.call(services().sqs.delete_message_batch, url, handles))


def counts_of(url: str) -> tuple[int, int, int]:
    """Messages that wait, are in flight, and are delayed."""
    counts = services().sqs.get_queue_attributes(
        QueueUrl=url,
        AttributeNames=[
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesDelayed",
        ],
    )["Attributes"]
    return (
        int(counts["ApproximateNumberOfMessages"]),
        int(counts["ApproximateNumberOfMessagesNotVisible"]),
        int(counts["ApproximateNumberOfMessagesDelayed"]),
    )


def _oldest_ages(urls: list[str]) -> dict[str, timedelta]:
    """How old the oldest message of each of these queues is, where CloudWatch knows."""
    if not urls:
        return {}
    now = clock.to_datetime(clock.now())
    answer = services().cloudwatch.get_metric_data(
        MetricDataQueries=[_age_query(f"q{n}", url) for n, url in enumerate(urls)],
        StartTime=now - _AGE_LOOKBACK,
        EndTime=now,
        ScanBy="TimestampDescending",
    )
    newest = {each["Id"]: each["Values"][:1] for each in answer["MetricDataResults"]}
    return {
        url: timedelta(seconds=seconds)
        for n, url in enumerate(urls)
        for seconds in newest.get(f"q{n}", [])
    }


def _age_query(id: str, url: str) -> MetricDataQueryTypeDef:
    name = url.rpartition("/")[2]
    return {
        "Id": id,
        "MetricStat": {
            "Metric": {
                "Namespace": "AWS/SQS",
                "MetricName": "ApproximateAgeOfOldestMessage",
                "Dimensions": [{"Name": "QueueName", "Value": name}],
            },
            "Period": int(_AGE_PERIOD.total_seconds()),
            "Stat": "Maximum",
        },
    }


def _revoke(app: CeleriacApp, received: MessageTypeDef) -> str | None:
    """End the task of a message, if it waits for that message; the task's id."""
    try:
        message = Message.from_text(received["Body"])
    except MalformedMessageError:
        return None
    try:
        record = services().records.finish(message.task_id, None, states.REVOKED)
    except LeaseLostError:
        # It runs, has ended, or has no record: this message is one too many.
        return None
    telemetry.ended(record)
    # Its chord, if it is a member of one, is told by the worker that takes the message.
    request = Context(message.headers, **message.embedded)
    app.backend.tell_again(request, record)
    return message.task_id
