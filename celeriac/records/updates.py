"""UpdateItem without botocore's pipeline, for the writes that every task makes.

Claim and finish are two UpdateItem calls for each task. Through botocore, each costs the worker
about two milliseconds of CPU: validation, endpoint rules, event hooks, model-driven parsing. A
no-op task spends most of its life there. This module takes the hard parts from a boto3 client
(credentials, signing, connections, error types) and leaves out the rest.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from botocore.awsrequest import AWSRequest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    ReadTimeoutError,
)
from urllib3 import exceptions as urllib3
from urllib3.util.retry import Retry

from celeriac import clock
from celeriac.errors import not_configured, transient

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_BEFORE_SEND = "before-send.dynamodb.UpdateItem"
_TARGET = "DynamoDB_20120810.UpdateItem"
_LONGEST_PAUSE_SECONDS = 1.0
_FIRST_PAUSE_SECONDS = 0.05


class Updates:
    """Calls UpdateItem as the given client would, with its time-outs and number of tries."""

    def __init__(self, client: DynamoDBClient) -> None:
        self._client = cast("Any", client)
        self._url = client.meta.endpoint_url.rstrip("/") + "/"
        self._tries = self._client.meta.config.retries.get("total_max_attempts", 3)
        # With its proxies, certificates and time-outs.
        session = self._client._endpoint.http_session  # noqa: SLF001
        manager = session._get_connection_manager(self._url)  # noqa: SLF001
        self._connections = manager.connection_from_url(self._url)

    def update_item(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to UpdateItem, as boto3's client gives it; no binary values in either.

        Raises:
            botocore.exceptions.ClientError: what the client's ``update_item`` raises.
            botocore.exceptions.BotoCoreError: DynamoDB can't be reached.
        """
        body = json.dumps(parameters).encode()
        for tried in range(1, self._tries + 1):
            try:
                return self._call(body)
            except (ClientError, BotoCoreError) as error:
                if tried == self._tries or not_configured(error) or not transient(error):
                    raise
            ceiling = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2**tried)
            time.sleep(random.uniform(0, ceiling))
        raise AssertionError("unreachable: the last try returns or raises")

    def _call(self, body: bytes) -> dict[str, Any]:
        request = AWSRequest(
            method="POST",
            url=self._url,
            data=body,
            headers={"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": _TARGET},
        )
        self._client._request_signer.sign("UpdateItem", request)  # noqa: SLF001
        status, data = self._mocked(request) or self._send(request, body)
        if status == HTTPStatus.OK:
            found: dict[str, Any] = json.loads(data)
            return found
        raise self._error(status, data)

    def _mocked(self, request: AWSRequest) -> tuple[int, bytes] | None:
        """What takes the call's place, as botocore lets it: moto in a test's own process."""
        handled = self._client.meta.events.emit(_BEFORE_SEND, request=request.prepare())
        for _, answer in handled:
            if answer is not None:
                return answer.status_code, answer.content
        return None

    def _send(self, request: AWSRequest, body: bytes) -> tuple[int, bytes]:
        # Signing leaves some of them as bytes.
        values: Iterable[tuple[str, Any]] = request.headers.items()
        headers = {
            name: value.decode() if isinstance(value, bytes) else value for name, value in values
        }
        sent = clock.machine()
        try:
            answer = self._connections.urlopen(
                "POST", "/", body=body, headers=headers, retries=Retry(False)
            )
        except (
            urllib3.NewConnectionError,
            urllib3.ConnectTimeoutError,
            urllib3.ProxyError,
        ) as error:
            raise EndpointConnectionError(endpoint_url=self._url, error=error) from error
        except urllib3.ReadTimeoutError as error:
            raise ReadTimeoutError(endpoint_url=self._url, error=error) from error
        except (urllib3.ProtocolError, urllib3.SSLError) as error:
            raise ConnectionClosedError(endpoint_url=self._url, error=error) from error
        clock.observe(answer.headers.get("Date"), sent, clock.machine())
        return answer.status, answer.data

    def _error(self, status: int, data: bytes) -> ClientError:
        """The exception that the client would raise."""
        try:
            parsed = json.loads(data)
            code = parsed["__type"].rpartition("#")[2]
        except (ValueError, KeyError, TypeError, AttributeError):
            parsed, code = {}, str(status)
        message = parsed.get("message") or parsed.get("Message") or ""
        response: Any = {
            "Error": {"Code": code, "Message": message},
            "ResponseMetadata": {"HTTPStatusCode": status},
        }
        if "Item" in parsed:
            response["Item"] = parsed["Item"]
        kind = self._client.exceptions.from_code(code)
        error: ClientError = kind(response, "UpdateItem")
        return error
