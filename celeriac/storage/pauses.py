"""What is paused: queues and task types, until somebody resumes them.

One partition has an item for each. Workers read it whole, every few seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from celeriac import clock
from celeriac.clock import Millis
from celeriac.marshalling import marshal, unmarshal
from celeriac.topology import PAUSES, RETENTION

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

Kind = Literal["queue", "type"]

#: The kind of an item that says when a type was resumed.
_RESUMED = "resumed"


@dataclass(frozen=True, kw_only=True)
class Pause:
    """A queue or task type of this name is paused. ``since`` is when, ``by`` whom, if known."""

    kind: Kind
    name: str
    since: Millis
    by: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Paused:
    """All pauses of one moment."""

    pauses: tuple[Pause, ...] = ()
    #: When task types were resumed that were paused lately, by their names.
    resumed: Mapping[str, Millis] = field(default_factory=dict)

    def of(self, kind: Kind, name: str) -> Pause | None:
        """The pause of a queue or of a task type; None if it isn't paused."""
        return next((each for each in self.pauses if (each.kind, each.name) == (kind, name)), None)

    def names(self, kind: Kind) -> frozenset[str]:
        """The names of the queues, or of the task types, that are paused."""
        return frozenset(each.name for each in self.pauses if each.kind == kind)


class Pauses:
    """The pauses of a deployment. Its methods raise botocore's errors."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def pause(self, pause: Pause) -> Pause:
        """Pause it, unless it is paused: the pause that holds.

            caller A   put ✓ since 9:00
            caller B                      put ✗ paused → the pause since 9:00

        One write; of what is paused already, nothing changes.
        """
        kept = {"since": pause.since, "by": pause.by, "reason": pause.reason}
        item = {**_key(pause.kind, pause.name), **{k: v for k, v in kept.items() if v is not None}}
        try:
            self._client.put_item(
                TableName=self._table,
                Item=marshal(item),
                ConditionExpression="attribute_not_exists(pk)",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as error:
            return _pause(unmarshal(error.response["Item"]))  # type: ignore[typeddict-item]
        return pause

    def resume(self, kind: Kind, name: str) -> None:
        """End a pause. One write, and nothing changes if there was none.

        One more notes when a type was resumed: until then its messages were replaced by copies.
        """
        if kind == "type":
            now = clock.now()
            expires_at = (now + clock.millis(RETENTION)) // 1000
            self._client.put_item(
                TableName=self._table,
                Item=marshal({**_key(_RESUMED, name), "since": now, "expires_at": expires_at}),
            )
        self._client.delete_item(TableName=self._table, Key=marshal(_key(kind, name)))

    def all(self) -> Paused:
        """What is paused. One eventually consistent query of a few hundred bytes."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="pk = :pauses",
            ExpressionAttributeValues=marshal({":pauses": PAUSES}),
        )
        items = [unmarshal(item) for page in pages for item in page["Items"]]
        marks = [item for item in items if item["sk"].startswith(f"{_RESUMED}#")]
        return Paused(
            tuple(_pause(item) for item in items if item not in marks),
            {item["sk"].partition("#")[2]: item["since"] for item in marks},
        )


def new_pause(kind: Kind, name: str, *, by: str | None, reason: str | None) -> Pause:
    """A pause that begins now."""
    return Pause(kind=kind, name=name, since=clock.now(), by=by, reason=reason)


def _key(kind: str, name: str) -> dict[str, str]:
    return {"pk": PAUSES, "sk": f"{kind}#{name}"}


def _pause(item: dict[str, Any]) -> Pause:
    kind, _, name = item["sk"].partition("#")
    return Pause(
        kind=kind,
        name=name,
        since=item["since"],
        by=item.get("by"),
        reason=item.get("reason"),
    )
