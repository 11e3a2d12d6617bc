"""One request: wait as long as AWS would, fail if told to, perform, answer."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from celeriac.local.aws import READY
from celeriac.local.standin import s3
from celeriac.local.standin.dynamodb import DynamoDb
from celeriac.local.standin.errors import AwsError
from celeriac.local.standin.faults import Fault, Faults
from celeriac.local.standin.http import Connection, Exchange, Request
from celeriac.local.standin.scheduler import Scheduler
from celeriac.local.standin.sqs import Sqs

HOST = "127.0.0.1"

_JSON = "Content-Type: application/x-amz-json-1.0\r\n"
_THROTTLES = {
    "sqs": "RequestThrottled",
    "dynamodb": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
    "s3": "SlowDown",
    "scheduler": "ThrottlingException",
}
_EXPIRED = {"sqs": "ExpiredToken", "s3": "ExpiredToken"}


class Server:
    """All services behind one port, with ``latency`` in seconds before each call is performed."""

    def __init__(self, latency: float) -> None:
        self._latency = latency
        self._faults = Faults()
        self._calls: Counter[str] = Counter()
        #: What access keys begin with whose calls are kept, and one call of each kind.
        self._watched: str | None = None
        self._kept: dict[tuple[str, ...], dict[str, Any]] = {}
        self._connections: set[Connection] = set()
        self._listening: asyncio.Server | None = None
        self._port = 0
        self._dynamodb = DynamoDb()
        self._s3 = s3.S3()
        self._scheduler = Scheduler()

    async def serve(self, port: int) -> None:
        """Serve forever; ``port`` 0 takes a free one."""
        self._loop = asyncio.get_running_loop()
        await self._listen(port)
        self._sqs = Sqs(self._loop, self._faults, self.endpoint)
        sys.stdout.write(f"{READY}{self.endpoint}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()

    @property
    def endpoint(self) -> str:
        return f"http://{HOST}:{self._port}"

    async def _listen(self, port: int) -> None:
        self._listening = await self._loop.create_server(
            lambda: Connection(self._handle, self._connections), HOST, port, backlog=512
        )
        self._port = self._listening.sockets[0].getsockname()[1]

    def _handle(self, exchange: Exchange) -> None:
        request = exchange.request
        target = request.headers.get("x-amz-target")
        if target is not None:
            prefix, _, operation = target.partition(".")
            service = "sqs" if prefix == "AmazonSQS" else "dynamodb"
            perform = self._perform_sqs if service == "sqs" else self._perform_dynamodb
        elif request.path.startswith("/_"):
            self._control(exchange)
            return
        elif "/scheduler/aws4_request" in request.headers.get("authorization", ""):
            service, operation = "scheduler", self._scheduler.operation(request)
            perform = self._perform_scheduler
        else:
            service, operation = "s3", self._s3.operation(request)
            perform = self._perform_s3
        self._calls[f"{service}.{operation}"] += 1
        if self._watched is not None:
            self._keep(request, f"{service}.{operation}")
        fault = self._faults.of_call(service, operation)
        if fault is None and not self._latency:
            self._answer(exchange, service, operation, perform)
            return
        latency = self._latency
        if fault is not None:
            if fault.kind == "hold":
                return
            if fault.kind == "delay":
                latency += fault.seconds
        self._loop.call_later(
            latency, self._after_latency, exchange, service, operation, perform, fault
        )

    def _after_latency(
        self,
        exchange: Exchange,
        service: str,
        operation: str,
        perform: Callable[[Exchange, str], None],
        fault: Fault | None,
    ) -> None:
        match fault.kind if fault else None:
            case "drop":
                exchange.drop()
            case "unavailable":
                self._refuse(
                    exchange,
                    service,
                    AwsError("ServiceUnavailable", "Try again.", status=503),
                )
            case "throttle":
                status = 503 if service == "s3" else 400
                error = AwsError(_THROTTLES[service], "Rate exceeded.", status=status)
                self._refuse(exchange, service, error)
            case "expired":
                type_ = _EXPIRED.get(service, "ExpiredTokenException")
                error = AwsError(type_, "The security token has expired.", status=403)
                self._refuse(exchange, service, error)
            case "lose-answer":
                exchange.answer_lost = True
                self._answer(exchange, service, operation, perform)
            case _:
                if exchange.open:
                    self._answer(exchange, service, operation, perform)

    def _answer(
        self,
        exchange: Exchange,
        service: str,
        operation: str,
        perform: Callable[[Exchange, str], None],
    ) -> None:
        try:
            perform(exchange, operation)
        except AwsError as error:
            self._refuse(exchange, service, error)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            self._refuse(
                exchange, service, AwsError("ValidationException", f"{operation}: {error!r}")
            )

    def _perform_sqs(self, exchange: Exchange, operation: str) -> None:
        parameters = json.loads(exchange.request.body)
        if operation == "ReceiveMessage":
            queue = self._sqs.queue(parameters)
            poll = queue.receive(parameters, lambda answer: _send(exchange, answer))
            if poll is not None:
                exchange.when_closed(lambda: queue.abandon(poll))
        else:
            _send(exchange, self._sqs.perform(operation, parameters))

    def _perform_dynamodb(self, exchange: Exchange, operation: str) -> None:
        _send(exchange, self._dynamodb.perform(operation, json.loads(exchange.request.body)))

    def _perform_scheduler(self, exchange: Exchange, operation: str) -> None:
        _send(exchange, self._scheduler.perform(operation, exchange.request))

    def _perform_s3(self, exchange: Exchange, operation: str) -> None:
        exchange.answer(*self._s3.perform(operation, exchange.request))

    def _refuse(self, exchange: Exchange, service: str, error: AwsError) -> None:
        if service == "s3":
            exchange.answer(error.status, s3.refusal(error), "Content-Type: application/xml\r\n")
            return
        body = {"__type": error.type, "message": str(error), **error.details}
        headers = f"{_JSON}X-Amzn-ErrorType: {error.type}\r\n"
        exchange.answer(error.status, json.dumps(body).encode(), headers)

    def _keep(self, request: Request, operation: str) -> None:
        """Keep one call of each watched caller, operation and table or queue."""
        signature = request.headers.get("authorization", "")
        key = signature.partition("Credential=")[2].partition("/")[0]
        if self._watched is None or not key.startswith(self._watched):
            return
        parameters = json.loads(request.body) if "x-amz-target" in request.headers else {}
        of = (parameters.get(name, "") for name in ("QueueUrl", "TableName", "IndexName"))
        self._kept.setdefault(
            (key, operation, *of),
            {
                "method": request.method,
                "path": request.path,
                "query": urlencode(request.query),
                "authorization": signature,
                "target": request.headers.get("x-amz-target", ""),
                "body": request.body.decode(errors="replace"),
            },
        )

    # -- control

    def _control(self, exchange: Exchange) -> None:
        """What tests ask of the stand-in itself; no fault strikes here."""
        request = exchange.request
        match request.method, request.path:
            case "PUT", "/_faults":
                self._faults.put(json.loads(request.body))
                _send(exchange, {})
            case "PUT", "/_latency":
                self._latency = float(json.loads(request.body))
                _send(exchange, {})
            case "PUT", "/_watch":
                self._watched = json.loads(request.body)
                _send(exchange, {})
            case "GET", "/_kept":
                _send(exchange, {"calls": list(self._kept.values())})
            case "GET", "/_stats":
                _send(exchange, self._stats())
            case "DELETE", "/_stats":
                self._calls.clear()
                _send(exchange, {})
            case "POST", "/_outage":
                _send(exchange, {})
                self._outage = self._loop.create_task(self._go_away(json.loads(request.body)))
            case _:
                exchange.answer(HTTPStatus.NOT_FOUND, b"")

    def _stats(self) -> dict[str, Any]:
        tables = self._dynamodb.tables.items()
        return {
            "calls": self._calls,
            "faults": self._faults.count,
            "duplicates": self._sqs.duplicates,
            "index_writes": {name: table.index_writes for name, table in tables},
        }

    async def _go_away(self, seconds: float) -> None:
        """Refuse connections for a while, as a restart does; nothing stored is lost."""
        if self._listening is not None:
            self._listening.close()
        await asyncio.sleep(0)  # the answer to this very request goes out first
        for connection in list(self._connections):
            connection.abort()
        await asyncio.sleep(seconds)
        await self._listen(self._port)


def _send(exchange: Exchange, body: dict[str, Any]) -> None:
    exchange.answer(HTTPStatus.OK, json.dumps(body).encode(), _JSON)
