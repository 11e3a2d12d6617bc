"""Time that passes on AWS: what has reached its end is deleted, as DynamoDB and S3 delete it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from celeriac import clock
from celeriac.storage.artifacts import Artifacts
from celeriac.storage.services import services
from celeriac.topology import expiries


class Passing:
    """A clock that goes on by hand, and deletes. Objects have the age that it knows."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._later = 0
        self._written_at: dict[str, int] = {}
        machine, put = clock.now, Artifacts.put

        def noted(own: Artifacts, tenant: str, key: str, *rest: Any, **named: Any) -> int:
            self._written_at[key] = clock.now()
            return put(own, tenant, key, *rest, **named)

        monkeypatch.setattr(clock, "now", lambda: machine() + self._later)
        monkeypatch.setattr(Artifacts, "put", noted)

    def advance(self, duration: timedelta) -> None:
        self._later += clock.millis(duration)
        self._delete_items()
        self._delete_objects()

    def _delete_items(self) -> None:
        own, now = services(), clock.now() // 1000
        table = own.settings.table_name
        for page in own.dynamodb.get_paginator("scan").paginate(TableName=table):
            for item in page["Items"]:
                if "expires_at" in item and int(item["expires_at"]["N"]) < now:
                    key = {name: item[name] for name in ("pk", "sk")}
                    own.dynamodb.delete_item(TableName=table, Key=key)

    def _delete_objects(self) -> None:
        own = services()
        rules = {
            each.prefix: timedelta(days=each.days)
            for each in expiries(
                record_ttl=own.settings.record_ttl, upload_ttl=own.settings.upload_ttl
            )
        }
        pages = own.s3.get_paginator("list_objects_v2").paginate(Bucket=own.settings.bucket_name)
        for page in pages:
            for found in page.get("Contents", []):
                first, _, key = found["Key"].split("/", 2)
                age = clock.now() - self._written_at.get(key, clock.now())
                if age > clock.millis(rules[f"{first}/"]):
                    own.s3.delete_object(Bucket=own.settings.bucket_name, Key=found["Key"])
