"""The AWS clients of this process, and what stands on them.

Made after the fork, one set a process: a connection shared with a parent process mixes up the
answers of both.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any, cast

from celeriac.artifacts import Artifacts
from celeriac.groups import Groups
from celeriac.keys import Keys
from celeriac.records import DynamoRecords, RecordStore
from celeriac.settings import Settings, settings
from celeriac.tenants import Tenants
from celeriac.values import AwsValues, ValueStore
from celeriac.workers import Workers

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


# boto3's default session is not thread-safe while it makes a client.
_making_a_client = Lock()


def client(service: str, **overrides: Any) -> Any:
    """A boto3 client with this system's time-outs and retries, or with others (botocore.Config)."""
    # Building a session costs tens of milliseconds: not at import, and not twice.
    import boto3
    from botocore.config import Config

    options: dict[str, Any] = {**_CLIENT_CONFIG, **overrides}
    if service == "s3":
        # A presigned URL must name the region and sign with SigV4 to be usable everywhere.
        options["signature_version"] = "s3v4"
    with _making_a_client:
        return boto3.client(service, config=Config(**options))  # type: ignore[call-overload]


@dataclass
class Services:
    """Everything that talks to AWS on behalf of one process."""

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
        # Only ever asked beside something that has been done already, and mustn't be held up.
        hasty = {"mode": "standard", "total_max_attempts": 1}
        return cast("ECSClient", client("ecs", connect_timeout=1, read_timeout=3, retries=hasty))

    @cached_property
    def artifacts(self) -> Artifacts:
        return Artifacts(self.s3, self.settings.bucket_name)

    @cached_property
    def records(self) -> RecordStore:
        return DynamoRecords(
            self.dynamodb, self.settings.table_name, shards=self.settings.listing_shards
        )

    @cached_property
    def values(self) -> ValueStore:
        return AwsValues(self.dynamodb, self.settings.table_name, self.artifacts)

    @cached_property
    def groups(self) -> Groups:
        return Groups(self.dynamodb, self.settings.table_name, self.values)

    @cached_property
    def workers(self) -> Workers:
        return Workers(self.dynamodb, self.settings.table_name)

    @cached_property
    def tenants(self) -> Tenants:
        return Tenants(self.dynamodb, self.settings.table_name)

    @cached_property
    def keys(self) -> Keys:
        return Keys(self.dynamodb, self.settings.table_name, cached_for=self.settings.api_key_cache)


_of_process: dict[int, Services] = {}


def services() -> Services:
    """The services of this process; a forked child gets its own."""
    pid = os.getpid()
    if pid not in _of_process:
        _of_process.clear()
        _of_process[pid] = Services(settings())
    return _of_process[pid]


def reset() -> None:
    """Forget clients and settings, so that both are read anew. For tests."""
    _of_process.clear()
    settings.cache_clear()
