"""Outages of AWS, by operation, and what tests ask about tasks that end in one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from billiard.einfo import ExceptionInfo
from botocore.client import BaseClient
from botocore.exceptions import EndpointConnectionError

from celeriac.records.updates import Updates
from celeriac.storage.services import services

Refuses = Callable[[str, Any], bool]


@contextmanager
def refused(which: Refuses) -> Iterator[None]:
    """AWS can't be reached by calls of which this holds, by operation and parameters."""
    make = BaseClient._make_api_call  # type: ignore[attr-defined]

    def call(self: Any, operation: str, parameters: Any) -> Any:
        if which(operation, parameters):
            raise EndpointConnectionError(endpoint_url="https://aws.invalid")
        return make(self, operation, parameters)

    update = Updates.update_item

    def update_item(self: Updates, parameters: Any) -> Any:
        if which("UpdateItem", parameters):
            raise EndpointConnectionError(endpoint_url="https://aws.invalid")
        return update(self, parameters)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseClient, "_make_api_call", call)
        patch.setattr(Updates, "update_item", update_item)
        yield


def is_join(operation: str, parameters: Any) -> bool:
    return operation == "UpdateItem" and parameters["Key"]["sk"] == {"S": "join"}


def is_send(operation: str, _: Any) -> bool:
    return operation.startswith("SendMessage")


def is_record_write(operation: str, parameters: Any) -> bool:
    return operation == "UpdateItem" and parameters["Key"]["sk"] == {"S": "task"}


def reported(error: Exception) -> ExceptionInfo:
    """What the pool says of a child in which this was raised."""
    with pytest.raises(type(error)) as raised:
        raise error
    return ExceptionInfo((raised.type, raised.value, raised.tb))


def state_of(task_id: str) -> str:
    record = services().records.get(task_id)
    assert record is not None
    return record.state
