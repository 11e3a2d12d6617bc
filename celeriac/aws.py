"""The AWS clients of this process.

Made after the fork, one set a process: a connection shared with a parent process mixes up the
answers of both.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any, cast

from celeriac import clock
from celeriac.settings import Settings, settings

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_ecs import ECSClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_scheduler import EventBridgeSchedulerClient
    from mypy_boto3_sqs import SQSClient

# An answer takes milliseconds; what takes seconds has been lost. Four tries with botocore's
# backoff stay within the 29 s that API Gateway waits for a Lambda.
_CLIENT_CONFIG = {
    "connect_timeout": 2,
    "read_timeout": 5,
    "retries": {"mode": "standard", "total_max_attempts": 4},
    "max_pool_connections": 50,
}

# AWS's own host of a region. A proxy, a VPC endpoint or a stand-in has another.
_REGIONS_HOST = re.compile(r"https://s3([.-].+)?\.amazonaws\.com")

# boto3's default session is not thread-safe while it makes a client.
_making_a_client = Lock()


def client(service: str, **overrides: Any) -> Any:
    """A boto3 client with this system's time-outs and retries, or with others (botocore.Config)."""
    options: dict[str, Any] = {**_CLIENT_CONFIG, **overrides}
    return _s3(options) if service == "s3" else _client(service, options)


def _client(service: str, options: dict[str, Any]) -> Any:
    # Building a session costs tens of milliseconds: not at import, and not twice.
    import boto3
    from botocore.config import Config

    with _making_a_client:
        made = boto3.client(service, config=Config(**options))  # type: ignore[call-overload]
    made.meta.events.register("before-call", _note_sent)
    made.meta.events.register("after-call", _learn_time)
    return made


def _note_sent(context: dict[str, Any], **_: Any) -> None:
    context["celeriac-sent"] = clock.machine()


def _learn_time(http_response: Any, context: dict[str, Any], **_: Any) -> None:
    # A handler that answers in AWS's place, as botocore's Stubber, keeps others from noting it.
    if "celeriac-sent" in context:
        clock.observe(http_response.headers.get("Date"), context["celeriac-sent"], clock.machine())


def _s3(options: dict[str, Any]) -> Any:
    """A client whose presigned links name the bucket's own region and are signed with SigV4.

    By itself boto3 signs links for S3's global host. That host redirects for the first day of a
    bucket, and answers 400 for the buckets of a region that opened after March 2019. "Virtual"
    keeps the region's host, with the bucket before it. A stand-in's name can't have a bucket before
    it, so with an endpoint of one's own the style is boto3's choice.
    docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
    """
    options = {**options, "signature_version": "s3v4"}
    client = _client("s3", {**options, "s3": {"addressing_style": "virtual"}})
    if _REGIONS_HOST.fullmatch(client.meta.endpoint_url):
        return client
    return _client("s3", options)


@dataclass
class Clients:
    """A client for each service of AWS, made when it is first used."""

    settings: Settings

    @cached_property
    def dynamodb(self) -> DynamoDBClient:
        return cast("DynamoDBClient", client("dynamodb"))

    @cached_property
    def s3(self) -> S3Client:
        return cast("S3Client", client("s3"))

    @cached_property
    def sqs(self) -> SQSClient:
        return cast("SQSClient", client("sqs"))

    @cached_property
    def cloudwatch(self) -> CloudWatchClient:
        return cast("CloudWatchClient", client("cloudwatch"))

    @cached_property
    def scheduler(self) -> EventBridgeSchedulerClient:
        return cast("EventBridgeSchedulerClient", client("scheduler"))

    @cached_property
    def ecs(self) -> ECSClient:
        # Asked after something else has succeeded, which mustn't be held up.
        hasty = {"mode": "standard", "total_max_attempts": 1}
        return cast("ECSClient", client("ecs", connect_timeout=1, read_timeout=3, retries=hasty))


_of_process: dict[int, Clients] = {}


def clients() -> Clients:
    """The clients of this process, for what knows no stores; a forked child gets its own."""
    pid = os.getpid()
    if pid not in _of_process:
        _of_process.clear()
        _of_process[pid] = Clients(settings())
    return _of_process[pid]


def reset() -> None:
    """Drop the clients and the settings. For tests: both are read again."""
    _of_process.clear()
    settings.cache_clear()
