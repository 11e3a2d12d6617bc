"""Messages that go out together: ``SendMessageBatch``, ten to a call."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from celeriac.transport import tens
from celeriac.transport.tens import BATCH_LIMIT

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

log = logging.getLogger(__name__)

#: docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html
BATCH_BYTES = 2**20
#: An entry that SQS refuses while it takes the others is sent again so often.
TRIES = 3

_current: ContextVar[Outbox | None] = ContextVar("outbox", default=None)


class UnsentError(Exception):
    """SQS didn't take some of the messages; ``task_ids`` are their tasks'."""

    def __init__(self, task_ids: list[str]) -> None:
        super().__init__(f"SQS didn't take {len(task_ids)} messages.")
        self.task_ids = task_ids


class Outbox:
    """Messages that wait to be sent together."""

    def __init__(self) -> None:
        self._waiting: list[tuple[SQSClient, str, dict[str, Any]]] = []

    def add(self, client: SQSClient, task_id: str, parameters: dict[str, Any]) -> None:
        """Take a message, as the parameters of ``SendMessage``."""
        self._waiting.append((client, task_id, parameters))

    def send(self) -> None:
        """Send everything. Raises ``UnsentError``, after having tried all."""
        unsent: list[str] = []
        waiting, self._waiting = self._waiting, []
        by_queue: dict[str, list[tuple[SQSClient, str, dict[str, Any]]]] = {}
        for message in waiting:
            by_queue.setdefault(message[2]["QueueUrl"], []).append(message)
        for url, messages in by_queue.items():
            for batch in _batches(messages):
                unsent += _send(url, batch)
        if unsent:
            raise UnsentError(unsent)


@contextmanager
def collected() -> Iterator[Outbox]:
    """Inside, messages are collected; at the end they are sent. Raises ``UnsentError``."""
    outbox = Outbox()
    token = _current.set(outbox)
    try:
        yield outbox
    finally:
        _current.reset(token)
        # What was collected before an error has its record: it is sent all the same.
        outbox.send()


def current() -> Outbox | None:
    """The outbox that collects now, if one does."""
    return _current.get()


def _batches(
    messages: list[tuple[SQSClient, str, dict[str, Any]]],
) -> Iterator[list[tuple[SQSClient, str, dict[str, Any]]]]:
    batch: list[tuple[SQSClient, str, dict[str, Any]]] = []
    size = 0
    for message in messages:
        length = len(message[2]["MessageBody"].encode())
        if batch and (len(batch) == BATCH_LIMIT or size + length > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(message)
        size += length
    if batch:
        yield batch


def _send(url: str, batch: list[tuple[SQSClient, str, dict[str, Any]]]) -> list[str]:
    """The ids of the tasks whose messages were not sent."""
    for _ in range(TRIES):
        entries: list[Any] = tens.numbered(
            {key: value for key, value in each[2].items() if key != "QueueUrl"} for each in batch
        )
        try:
            answer = batch[0][0].send_message_batch(QueueUrl=url, Entries=entries)
        except (ClientError, BotoCoreError) as error:
            log.warning("SendMessageBatch: %s", error)
            break
        failed = tens.failures(answer)
        batch = [each for n, each in enumerate(batch) if n in failed]
        if not batch:
            break
    return [task_id for _, task_id, _ in batch]
