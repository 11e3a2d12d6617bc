"""Records, and the stores next to them, on the AWS clients of this process."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property

from celeriac import aws
from celeriac.records import DynamoRecords, RecordStore
from celeriac.settings import settings
from celeriac.storage.artifacts import Artifacts
from celeriac.storage.groups import Groups
from celeriac.storage.heartbeats import Workers
from celeriac.storage.keys import Keys
from celeriac.storage.mail_events import MailEvents
from celeriac.storage.requests import Requests
from celeriac.storage.stamps import Stamps
from celeriac.storage.tenants import Tenants
from celeriac.storage.values import AwsValues, ValueStore


@dataclass
class Services(aws.Clients):
    """The clients of one process, and the stores that use them."""

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
    def mail_events(self) -> MailEvents:
        return MailEvents(self.dynamodb, self.settings.table_name)

    @cached_property
    def groups(self) -> Groups:
        return Groups(self.dynamodb, self.settings.table_name, self.values)

    @cached_property
    def stamps(self) -> Stamps:
        return Stamps(self.dynamodb, self.settings.table_name)

    @cached_property
    def workers(self) -> Workers:
        return Workers(self.dynamodb, self.settings.table_name)

    @cached_property
    def tenants(self) -> Tenants:
        return Tenants(self.dynamodb, self.settings.table_name)

    @cached_property
    def requests(self) -> Requests:
        return Requests(self.dynamodb, self.settings.table_name)

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
    """Drop clients and settings, so that both are made again. For tests."""
    _of_process.clear()
    aws.reset()
