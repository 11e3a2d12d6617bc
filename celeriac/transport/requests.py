"""Calls of SQS on kombu's event loop. A failed call is an answer too; nothing raises or hangs.

kombu 5.7.0 passes a time-out to its curl client, which never sets it and takes curl's milliseconds
for seconds (``asynchronous/http/curl.py``). Its answer to a 5xx is an empty list, on which its
caller fails (``aws/connection.py``).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from time import monotonic, sleep
from typing import Any

import pycurl
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError, ClientError
from botocore.httpsession import get_cert_path
from kombu.asynchronous.http import Headers, Request
from kombu.asynchronous.http.curl import CurlClient

from celeriac import clock

log = logging.getLogger(__name__)

CONNECT_TIMEOUT = timedelta(seconds=3)
#: How long an answer may take on top of the time that a call asks SQS to wait.
ANSWER_TIMEOUT = timedelta(seconds=5)
#: A handle for each long poll, and some left for acknowledgements and renewals.
HANDLES = 32


@dataclass(frozen=True)
class Answer:
    """What a call came to: SQS's JSON, or why there is none."""

    body: dict[str, Any]
    error: str | None = None

    @property
    def ok(self) -> bool:
        return self.error is None


class Curl(CurlClient):
    """kombu's curl client, with the time-outs that its requests carry.

    The event loop closes it when the worker has to reconnect. It does nothing from then on.
    """

    #: The event loop's timer for the one moment at which curl wants to be called next.
    _next_check: Any = None

    def _setup_request(self, curl: Any, request: Any, buffer: Any, headers: Any) -> None:
        super()._setup_request(curl, request, buffer, headers)
        curl.setopt(pycurl.CONNECTTIMEOUT_MS, int(request.connect_timeout * 1000))
        curl.setopt(pycurl.TIMEOUT_MS, int(request.request_timeout * 1000))
        # A signal for the resolver's time-out would hit Celery's own handlers.
        curl.setopt(pycurl.NOSIGNAL, 1)

    def _set_timeout(self, milliseconds: int) -> None:
        """Call curl after so long, and not when it wanted to be before; -1 is never.

        Here kombu takes the number for seconds, and adds a timer each time. What curl asks for
        with each request (3000: is it connected?) would stay with the event loop for 50 minutes.
        """
        if self._next_check is not None:
            self._next_check.cancel()
            self._next_check = None
        if milliseconds >= 0 and not self._closed:
            self._next_check = self.hub.call_later(milliseconds / 1000, self._timeout_check)

    def _timeout_check(self, *args: Any) -> None:
        if not self._closed:
            super()._timeout_check(*args)

    def close(self) -> None:
        super().close()
        self._set_timeout(-1)

    def finish(self, patience: timedelta) -> None:
        """Take the answers that have come, wait a little for those that come at once, hang up.

        For when the event loop has ended. A long poll left open could still be given a message,
        which nobody would then read.
        """
        if self._closed:
            return
        give_up_at = monotonic() + patience.total_seconds()
        while True:
            self._timeout_check()
            under_way = [curl for curl in self._curls if getattr(curl, "info", None)]
            prompt = [curl for curl in under_way if not _is_poll(curl.info["request"])]
            if not prompt or monotonic() >= give_up_at:
                break
            sleep(0.01)
        for curl in under_way:
            self._multi.remove_handle(curl)
            curl.info = None
            self._free_list.append(curl)


def _is_poll(request: Any) -> bool:
    return str(request.headers.get("X-Amz-Target", "")).endswith(".ReceiveMessage")


def curl_of(hub: Any) -> Curl:
    """The event loop's curl client; kept where kombu keeps its own, so there is one."""
    client = getattr(hub, "_current_http_client", None)
    if not isinstance(client, Curl):
        client = hub._current_http_client = Curl(hub, max_clients=HANDLES)  # noqa: SLF001
    return client


class SqsRequests:
    """Signs calls as a boto3 client would, and sends them on the event loop."""

    def __init__(self, client: Any, hub: Any) -> None:
        self._client = client
        self._curl = curl_of(hub)
        self._hub = hub
        metadata = client.meta.service_model.metadata
        self._target = metadata["targetPrefix"]
        self._content_type = f"application/x-amz-json-{metadata['jsonVersion']}"
        self._url = client.meta.endpoint_url
        self._certificates = get_cert_path(True)

    def finish(self, patience: timedelta) -> None:
        """End what is under way, for when the event loop has ended."""
        self._curl.finish(patience)

    def call(
        self,
        operation: str,
        parameters: dict[str, Any],
        done: Callable[[Answer], None],
        *,
        wait: timedelta = timedelta(0),
    ) -> None:
        """Call SQS; ``done`` gets the answer, later and exactly once.

        ``wait`` is how long the call itself asks SQS to wait.
        """
        aws_request = AWSRequest(
            method="POST",
            url=self._url,
            data=json.dumps(parameters).encode(),
            headers={
                "Content-Type": self._content_type,
                "X-Amz-Target": f"{self._target}.{operation}",
            },
        )
        try:
            # Fetches new credentials when the old ones are about to expire, which can fail.
            self._client._request_signer.sign(operation, aws_request)  # noqa: SLF001 - as kombu
        except (BotoCoreError, ClientError, OSError) as error:
            answer = Answer({}, f"{operation}: {error}")
            self._hub.call_soon(lambda: done(answer))
            return
        prepared = aws_request.prepare()
        sent = clock.machine()
        request = Request(
            prepared.url,
            method=prepared.method,
            headers=Headers(prepared.headers),
            body=prepared.body,
            connect_timeout=CONNECT_TIMEOUT.total_seconds(),
            request_timeout=(wait + ANSWER_TIMEOUT).total_seconds(),
            ca_certs=self._certificates,
            on_ready=lambda response: done(_read(operation, response, sent)),
        )
        self._curl.add_request(request)


def _read(operation: str, response: Any, sent: clock.Millis) -> Answer:
    # kombu gathers the answer's headers among those of the request (``http/curl.py``).
    clock.observe(response.request.headers.get("Date"), sent, clock.machine())
    if response.code != HTTPStatus.OK:
        reason = str(response.error or "") or _error_type(response.body)
        return Answer({}, f"{operation}: HTTP {response.code} {reason}".rstrip())
    try:
        body = json.loads(response.body or b"{}")
    except ValueError as error:
        return Answer({}, f"{operation}: an answer that is not JSON: {error}")
    return Answer(body)


def _error_type(body: bytes | None) -> str:
    """SQS names its error in the body; a proxy before it may send anything."""
    try:
        return str(json.loads(body or b"")["__type"])
    except (KeyError, TypeError, ValueError):
        return ""
