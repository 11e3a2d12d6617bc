"""A worker in this process: what Celery's does with a message, without its event loop and pool."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from time import monotonic
from typing import Any

import pytest
from billiard.einfo import ExceptionInfo
from botocore.exceptions import ClientError
from celery.app.trace import trace_task_ret
from celery.exceptions import TaskRevokedError
from kombu.transport.virtual import Message

from celeriac.app.factory import Celeriac
from celeriac.contract import Queue
from celeriac.storage.services import services
from celeriac.transport import Channel
from celeriac.worker.request import RecordedRequest
from tasks.queues import DEFAULT


class SingleWorker:
    """Runs the messages of a queue one by one, each to its end.

    The channel and the requests are a worker's own. ``outcomes`` are what the pool would report.
    """

    def __init__(self, app: Celeriac, queue: Queue = DEFAULT) -> None:
        self.app = app
        self.queue = queue
        self.url = services().settings.queue_url(queue)
        self.channel: Channel = app.connection_for_read().channel()
        self._handles: list[str] = []

    def take(self) -> RecordedRequest:
        """Take the one message that must be visible."""
        request = self.receive()
        assert request is not None
        return request

    def receive(self) -> RecordedRequest | None:
        """Take one message, if one is visible."""
        normal, high = services().settings.lane_urls(self.queue)
        for url in (high, normal):
            messages = services().sqs.receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=1,
                WaitTimeSeconds=0,
                MessageSystemAttributeNames=["ApproximateReceiveCount"],
            )
            if messages.get("Messages"):
                return self._request(messages["Messages"][0], url)
        return None

    def _request(self, raw: Any, url: str) -> RecordedRequest:
        self._handles.append(raw["ReceiptHandle"])
        payload = self.channel._message_to_python(raw, self.queue.name, url)
        message: Message = self.channel.message_to_python(payload)
        self.channel.qos.append(message, message.delivery_tag)
        return RecordedRequest(
            message,
            on_ack=message.ack_log_error,
            on_reject=message.reject_log_error,
            app=self.app,
            task=self.app.tasks[message.headers["task"]],
        )

    def begin(self, request: RecordedRequest) -> Any:
        """Run a request as a child process would; what it reports."""
        if request.revoked():
            raise TaskRevokedError(request.id)
        request.on_accepted(os.getpid(), monotonic())
        try:
            return True, trace_task_ret(
                request.type,
                request.id,
                dict(request.request_dict),
                request.body,
                request.content_type,
                request.content_encoding,
                app=self.app,
            )
        except Exception:  # noqa: BLE001 - whatever it is, the pool reports it
            return False, ExceptionInfo(sys.exc_info())

    def end(self, request: RecordedRequest, reported: Any) -> None:
        """Take what a child process has reported."""
        returned, value = reported
        if returned:
            request.on_success(value)
        else:
            request.on_failure(value)

    def run(self, request: RecordedRequest) -> None:
        """Run a request to its end."""
        self.end(request, self.begin(request))

    def run_all(self, most: int = 50) -> int:
        """Run messages until none is visible; how many."""
        for count in range(most):
            request = self.receive()
            if request is None:
                return count
            self.run(request)
        raise AssertionError(f"still messages after {most}")

    def empty(self) -> None:
        """Leave no message to the next test, not even one that would be visible again later."""
        with pytest.MonkeyPatch.context() as moto:
            # SQS allows a purge a minute.
            moto.setenv("MOTO_SQS_ENFORCE_STRICT_QUEUE_PURGE_BEHAVIOUR", "false")
            for url in services().settings.lane_urls(self.queue):
                services().sqs.purge_queue(QueueUrl=url)

    def show_all(self) -> None:
        """Make the returned messages visible, as the end of their visibility would."""
        for handle in self._handles:
            if self.channel.held.get(handle) is None:
                with suppress(ClientError):
                    services().sqs.change_message_visibility(
                        QueueUrl=self.url, ReceiptHandle=handle, VisibilityTimeout=0
                    )
        self._handles.clear()

    def visible(self) -> int:
        """How many messages wait in the queue, visible."""
        return self._count("ApproximateNumberOfMessages")

    def hidden(self) -> int:
        """How many messages are received and neither deleted nor returned."""
        return self._count("ApproximateNumberOfMessagesNotVisible")

    def _count(self, attribute: Any) -> int:
        answer = services().sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=[attribute])
        return int(answer["Attributes"][attribute])
