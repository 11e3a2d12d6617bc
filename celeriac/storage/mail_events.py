"""What SES says of a task's mail after it has left: an item next to the task's record.

The item grows with the recipients. It is apart from the record, because each transition pays for
the record's size. It holds the newest event of each kind for each recipient, because events come
more than once, and out of order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from celeriac.clock import Millis
from celeriac.marshalling import marshal, unmarshal
from celeriac.records.items import partition
from celeriac.records.record import cut

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_SORT_KEY = "mail-events"
#: What an event holds at most, in bytes of UTF-8. A mail server's answer may have any length.
LONGEST_RECIPIENT = 320
LONGEST_TYPE = 80
LONGEST_DIAGNOSTIC = 500
#: Of one task's mail: three kinds for each of the 50 recipients that SES takes. With these lengths
#: they are far from the 400 KB that an item may have.
MOST_EVENTS = 150


class MailEventKind(StrEnum):
    """What became of a mail for a recipient."""

    BOUNCED = "bounced"
    COMPLAINED = "complained"
    DELAYED = "delayed"
    REJECTED = "rejected"


@dataclass(frozen=True, kw_only=True)
class MailEvent:
    """One event of one recipient. ``type`` and ``subtype`` are SES's words."""

    kind: MailEventKind
    recipient: str
    at: Millis
    type: str | None = None
    subtype: str | None = None
    diagnostic: str | None = None

    def __post_init__(self) -> None:
        for name, limit in (
            ("recipient", LONGEST_RECIPIENT),
            ("type", LONGEST_TYPE),
            ("subtype", LONGEST_TYPE),
            ("diagnostic", LONGEST_DIAGNOSTIC),
        ):
            text = getattr(self, name)
            object.__setattr__(self, name, None if text is None else cut(text, limit))


class MailEvents:
    """The events of all tasks' mail."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def keep(self, task_id: str, event: MailEvent, expires_at: int) -> bool:
        """Keep an event until ``expires_at``, in seconds.

        False if this one, or a newer one of its kind and recipient, is kept already, or if the
        task has as many as there may be.
        """
        key = {"pk": partition(task_id), "sk": _SORT_KEY}
        place = f"{event.kind}-{hashlib.sha256(event.recipient.encode()).hexdigest()[:16]}"
        kept = {name: value for name, value in asdict(event).items() if value is not None}
        refused = self._client.exceptions.ConditionalCheckFailedException
        try:
            self._client.put_item(
                TableName=self._table,
                Item=marshal({**key, "events": {place: kept}, "expires_at": expires_at}),
                ConditionExpression="attribute_not_exists(pk)",
            )
        except refused:
            pass
        else:
            return True
        try:
            self._client.update_item(
                TableName=self._table,
                Key=marshal(key),
                UpdateExpression="SET #events.#place = :event",
                ConditionExpression="#events.#place.#at < :at OR "
                "(attribute_not_exists(#events.#place) AND size(#events) < :most)",
                ExpressionAttributeNames={"#events": "events", "#place": place, "#at": "at"},
                ExpressionAttributeValues=marshal(
                    {":event": kept, ":at": event.at, ":most": MOST_EVENTS}
                ),
            )
        except refused:
            return False
        return True

    def of(self, task_id: str) -> list[MailEvent]:
        """The events of a task's mail, oldest first; none once they have expired."""
        answer = self._client.get_item(
            TableName=self._table,
            Key=marshal({"pk": partition(task_id), "sk": _SORT_KEY}),
            ConsistentRead=True,
        )
        if "Item" not in answer:
            return []
        found: Mapping[str, Mapping[str, Any]] = unmarshal(answer["Item"])["events"]
        events = [
            MailEvent(**{**each, "kind": MailEventKind(each["kind"])}) for each in found.values()
        ]
        return sorted(events, key=lambda each: (each.at, each.recipient))
