"""Celeriac's SQS transport for kombu."""

from __future__ import annotations

import os
import socket
import uuid
from typing import Any

from kombu.transport import SQS

#: Names this worker process among all, and never names another one.
WORKER_ID = f"{socket.gethostname()}.{os.getpid()}.{uuid.uuid4().hex[:6]}"


class Channel(SQS.Channel):
    """Plain JSON messages, one client for all queues, and nothing asked that is known already."""

    #: kombu's virtual transports encode each body as base64 by default; SQS takes JSON as it is.
    body_encoding = None

    def sqs(self, queue: str | None = None) -> Any:
        """One client for all queues: stock makes one for each, at some 40 ms."""
        client: Any = self._sqs  # type: ignore[has-type]
        if client is None:
            client = self._sqs = self.new_sqs_client(
                region=self.region, access_key_id=None, secret_access_key=None
            )
        return client

    def _size(self, queue: str) -> int:
        # Asked for when a queue is declared, which would cost a GetQueueAttributes at the first
        # publish of every process. Depths are read from SQS by celeriac.queues.
        return 0

    def _envelope_payload(
        self, payload: dict[str, Any], raw_text: str, message: dict[str, Any], q_url: str
    ) -> dict[str, Any]:
        envelope: dict[str, Any] = super()._envelope_payload(payload, raw_text, message, q_url)
        headers = envelope.setdefault("headers", {})
        # One owner is one delivery of the message to one worker: it names the holder of the lease
        # to the main process and to its child alike.
        headers["owner"] = f"{WORKER_ID}/{uuid.uuid4().hex[:8]}"
        return envelope


class Transport(SQS.Transport):
    """The transport that ``broker_transport`` names."""

    Channel = Channel
