"""How many tasks start in a time: each limit is one item, which says when the next may start.

That is the generic cell rate algorithm (ITU-T I.371). ``next`` is the start that the limit allows
next, in microseconds:

    rate 1/s     │ 0 s              │ 1 s              │ 2 s
    worker 1     A: next ≤ now ✓    C: next ≤ now ✓
    worker 2         B: next ≤ now ✗ ─ place at 1 s …  ─ asks ✗ ─ …  ─ asks ✓
    next         ├─ 1 s ────────────┼─ 2 s ───────────────────────────┼─ 3 s

DynamoDB compares and sets in one step, so two workers never take the same start. A start is taken
when the task is about to be claimed, and not when it was submitted: workers that were away, or that
slept, don't make up for what they missed. A start that comes within ``HOLD`` is taken at once, and
the task waits for it in its worker; SQS delays by whole seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from celeriac import clock
from celeriac.clock import Clock, Millis
from celeriac.contract.limits import Limit, Micros
from celeriac.marshalling import marshal, unmarshal
from celeriac.records.updates import Updates
from celeriac.storage.line import Later, Place, has_place, refused
from celeriac.topology import LIMITS, LONGEST_DELAY

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

#: A task waits for its start in its worker if that comes within so long.
HOLD = timedelta(milliseconds=500)
#: How long an item outlives the starts that it knows of.
_KEPT = timedelta(days=2)
_NAMES = ("#line", "#next")


@dataclass(frozen=True)
class Start:
    """A start that was taken. ``following`` is the next one that its limit then allows."""

    at: Millis
    scope: str
    interval: Micros
    following: Micros


class Rates:
    """The rates of a deployment's task types."""

    def __init__(self, client: DynamoDBClient, table: str, *, clock: Clock = clock.now) -> None:
        self._client = client
        self._updates = Updates(client)
        self._table = table
        self._now = clock

    def start(self, scope: str, limit: Limit, place: Place | None) -> Start | Later:
        """Take a start, at most ``HOLD`` from now, or say when to ask again.

        Raises:
            botocore.exceptions.ClientError: DynamoDB refuses for now, or has no permission.
            botocore.exceptions.BotoCoreError: DynamoDB can't be reached.
        """
        now = self._now()
        hold = now + clock.millis(HOLD)
        tolerance = (limit.burst - 1) * limit.interval
        found = self._take_free(scope, limit, now)
        if found is None:
            return Start(now, scope, limit.interval, now * 1000 + limit.interval)
        if place is not None and place.at > hold:
            # Those before it have most of the starts. One that nobody takes is for all.
            return refused(place, now, now, LONGEST_DELAY)
        earliest = _millis(found["next"] - tolerance)
        if earliest <= hold:
            taken = self._take_next(scope, limit.interval, hold * 1000 + tolerance)
            if taken is not None:
                at = max(now, _millis(taken - tolerance))
                return Start(at, scope, limit.interval, taken + limit.interval)
        if not has_place(place):
            place = Place(self._line_up(scope, limit.interval, found, earliest))
        return refused(place, now, max(now, earliest), LONGEST_DELAY)

    def free(self, start: Start) -> None:
        """Free a start that no task makes, unless another was taken after it.

            worker 1   takes 1 s ── another limit refuses ── frees 1 s ✓
            worker 1   takes 1 s ───────────────────────────── frees 1 s ✗
            worker 2                takes 2 s

        The second one stays taken: freed, it would put two tasks at 2 s. Raises as ``start``.
        """
        try:
            self._update(
                start.scope,
                "SET #next = :before",
                "#next = :after",
                {":before": start.following - start.interval, ":after": start.following},
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return

    def _take_free(self, scope: str, limit: Limit, now: Millis) -> dict[str, Any] | None:
        """Start now, if nothing is in the way; otherwise the item that says what is."""
        try:
            self._update(
                scope,
                "SET #next = :after, expires_at = :expires_at",
                "attribute_not_exists(#next) OR #next <= :now",
                {
                    ":now": now * 1000,
                    ":after": now * 1000 + limit.interval,
                    ":expires_at": _expiry(now * 1000 + limit.interval),
                },
            )
        except self._client.exceptions.ConditionalCheckFailedException as error:
            return unmarshal(error.response["Item"])  # type: ignore[typeddict-item]
        return None

    def _take_next(self, scope: str, interval: Micros, latest: Micros) -> Micros | None:
        """Take the next start if it is not later than this; which one it is."""
        try:
            answer: dict[str, Any] = self._update(
                scope,
                "SET #next = #next + :interval, expires_at = :expires_at",
                "#next <= :latest",
                {
                    ":interval": interval,
                    ":latest": latest,
                    ":expires_at": _expiry(latest + interval),
                },
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return None
        following = int(unmarshal(answer["Attributes"])["next"])
        return following - interval

    def _line_up(
        self, scope: str, interval: Micros, found: dict[str, Any], earliest: Millis
    ) -> Millis:
        """The place behind all others. Two that line up at once may be given the same one."""
        behind: Micros = max(found.get("line", 0) + interval, earliest * 1000)
        self._update(
            scope,
            "SET #line = :line, expires_at = :expires_at",
            "attribute_exists(#next)",
            {
                ":line": behind,
                ":expires_at": _expiry(max(behind, found["next"])),
            },
        )
        return behind // 1000

    def _update(self, scope: str, update: str, condition: str, values: dict[str, int]) -> Any:
        return self._updates.update_item(
            {
                "TableName": self._table,
                "Key": marshal({"pk": f"{LIMITS}{scope}", "sk": "rate"}),
                "UpdateExpression": update,
                "ConditionExpression": condition,
                "ExpressionAttributeNames": {
                    each: each[1:] for each in _NAMES if each in f"{update} {condition}"
                },
                "ExpressionAttributeValues": marshal(values),
                "ReturnValues": "UPDATED_NEW",
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
        )


def _expiry(last: Micros) -> int:
    """When an item may go whose last start or place is then, in seconds since 1970."""
    return (_millis(last) + clock.millis(_KEPT)) // 1000


def _millis(micros: Micros) -> Millis:
    """Rounded up: a start is never early."""
    return -(-micros // 1000)
