"""A message in SQS as text: what Celery and kombu made of a task, read without a worker.

docs.celeryq.dev/en/stable/internals/protocol.html, version 2; kombu's envelope around it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from celery.app.task import Context

from celeriac.contract.errors import Picklable
from celeriac.transport.call import Call
from celeriac.transport.lanes import is_high

#: The header under which a message carries what is ours.
HEADER = "celeriac"

_LONGEST_NAME = 255


def attempt_of(headers: Mapping[str, Any] | Context) -> int:
    """Which attempt a message is of, by its headers or by the request made of them."""
    own = headers.get(HEADER) or {}
    return int(own.get("attempt") or (headers.get("retries") or 0) + 1)


def tenant_of(headers: Mapping[str, Any] | Context) -> str | None:
    """Whose task a message is, by its headers or by the request made of them."""
    tenant: str | None = (headers.get(HEADER) or {}).get("tenant")
    return tenant


class MalformedMessageError(Picklable, ValueError):
    """The text is not the message of a task."""

    def __init__(self, why: str) -> None:
        super().__init__(f"This is not the message of a task: {why}.")


@dataclass(frozen=True)
class Message:
    """The headers of a task's message, its arguments, and what it embeds of a canvas."""

    headers: Mapping[str, Any]
    args: list[Any]
    kwargs: dict[str, Any]
    embedded: Mapping[str, Any]
    #: Whether it takes its queue's lane of urgent tasks.
    high: bool = False

    @property
    def task_id(self) -> str:
        return str(self.headers["id"])

    @property
    def type(self) -> str:
        return str(self.headers["task"])

    @property
    def own(self) -> Mapping[str, Any]:
        """The header that is ours."""
        own: Mapping[str, Any] = self.headers.get(HEADER) or {}
        return own

    @property
    def call(self) -> Call | None:
        """What the task is called with; None if the message only refers to it."""
        return None if "input" in self.own else Call(self.args, self.kwargs)

    @classmethod
    def from_text(cls, text: str) -> Message:
        """Read a message. Raises ``MalformedMessageError``."""
        try:
            envelope = json.loads(text)
            headers = envelope["headers"]
            args, kwargs, embedded = json.loads(envelope["body"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise MalformedMessageError(f"{type(error).__name__}: {error}") from None
        if not isinstance(headers, dict) or not _is_name(headers.get("id")):
            raise MalformedMessageError("its headers name no task id")
        if not _is_name(headers.get("task")):
            raise MalformedMessageError("its headers name no task type")
        own = headers.get(HEADER) or {}
        if not isinstance(own, dict) or not _is_name(own.get("tenant", "none")):
            raise MalformedMessageError(f"its header {HEADER} is not one of ours")
        if not (isinstance(args, list) and isinstance(kwargs, dict)):
            raise MalformedMessageError("its arguments are not a list and an object")
        properties = envelope.get("properties")
        priority = properties.get("priority") if isinstance(properties, dict) else None
        return cls(
            headers,
            args,
            kwargs,
            embedded if isinstance(embedded, dict) else {},
            high=is_high(priority),
        )


def _is_name(value: object) -> bool:
    """Whether a record may have this id or type: DynamoDB and JSON refuse some texts."""
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_NAME and value.isprintable()
