"""Records, and the stores next to them, on the AWS clients of this process."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property

from celeriac import aws
from celeriac.records import DynamoRecords, RecordStore
from celeriac.settings import settings
from celeriac.storage.artifacts import Artifacts
from celeriac.storage.event_bridge import EventBridge
from celeriac.storage.firings import Firings
from celeriac.storage.groups import Groups
from celeriac.storage.heartbeats import Workers
from celeriac.storage.keys import Keys
from celeriac.storage.mail_events import MailEvents
from celeriac.storage.pauses import Pauses
from celeriac.storage.rates import Rates
from celeriac.storage.requests import Requests
from celeriac.storage.same import Same
from celeriac.storage.schedules import Schedules
from celeriac.storage.slots import Slots
from celeriac.storage.stamps import Stamps
from celeriac.storage.values import AwsValues, ValueStore
from celeriac.storage.waiting import Waiting


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
        return AwsValues(
            self.dynamodb,
            self.settings.table_name,
            self.artifacts,
            record_ttl=self.settings.record_ttl,
        )

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
    def requests(self) -> Requests:
        return Requests(self.dynamodb, self.settings.table_name)

    @cached_property
    def pauses(self) -> Pauses:
        return Pauses(self.dynamodb, self.settings.table_name)

    @cached_property
    def slots(self) -> Slots:
        return Slots(
            self.dynamodb,
            self.settings.table_name,
            self.records,
            lease=self.settings.visibility,
        )

    @cached_property
    def rates(self) -> Rates:
        return Rates(self.dynamodb, self.settings.table_name)

    @cached_property
    def same(self) -> Same:
        return Same(self.dynamodb, self.settings.table_name)

    @cached_property
    def waiting(self) -> Waiting:
        return Waiting(self.dynamodb, self.settings.table_name, self.records.count_unfinished)

    @cached_property
    def schedules(self) -> Schedules:
        return Schedules(self.dynamodb, self.settings.table_name)

    @cached_property
    def firings(self) -> Firings:
        return Firings(self.dynamodb, self.settings.table_name)

    @cached_property
    def event_bridge(self) -> EventBridge:
        return EventBridge(self.scheduler, self.settings)

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
