"""The conditions that transitions of a record hold, and their updates, as DynamoDB's expressions.

docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from celeriac import states
from celeriac.clock import Millis
from celeriac.marshalling import marshal
from celeriac.records.items import to_plain


@dataclass(frozen=True)
class Condition:
    """A condition expression with the values it names."""

    text: str
    values: Mapping[str, Any]

    def __and__(self, other: Condition) -> Condition:
        return Condition(f"{self.text} AND {other.text}", {**self.values, **other.values})

    def __or__(self, other: Condition) -> Condition:
        return Condition(f"({self.text}) OR ({other.text})", {**self.values, **other.values})


def _state_in(states_: frozenset[str]) -> Condition:
    values = {f":is_{state.lower()}": state for state in sorted(states_)}
    return Condition(f"#state IN ({', '.join(values)})", values)


WAITING = _state_in(states.WAITING)
_SETTLED = _state_in(states.WAITING | states.TERMINAL)
# A record that is absent is not running: NOT alone would hold for it.
RUNNING = Condition(f"attribute_exists(pk) AND NOT {_SETTLED.text}", _SETTLED.values)

# Nothing has come of it yet, so that its message may never have been sent; or it is gone.
UNSENT = Condition(
    "attribute_not_exists(pk) OR (#state = :pending AND attribute_not_exists(resent))",
    {":pending": states.PENDING},
)
# A condition that names no state would leave #state unused, which DynamoDB refuses.
EXISTS = Condition("attribute_exists(#state)", {})
_ENDED = _state_in(states.TERMINAL)
ENDED = Condition(f"attribute_not_exists(pk) OR {_ENDED.text}", _ENDED.values)
# NOT alone would hold for an absent record.
NOT_ENDED = Condition(f"attribute_exists(pk) AND NOT {_ENDED.text}", _ENDED.values)
NOT_AWAITING = Condition("attribute_not_exists(awaits)", {})
NOT_CANCELLED = Condition("attribute_not_exists(cancel_requested_at)", {})


def attempt_is(attempt: int) -> Condition:
    return Condition("attempt = :attempt", {":attempt": attempt})


def version_is(version: int) -> Condition:
    return Condition("version = :version", {":version": version})


def expires_before(seconds: int) -> Condition:
    return Condition("expires_at < :expires_before", {":expires_before": seconds})


def held_by(owner: str) -> Condition:
    return RUNNING & Condition("lease_owner = :owner", {":owner": owner})


def lease_passed(now: Millis, *, cancelled: bool) -> Condition:
    """The lease has passed of a running task whose caller wanted an end, or didn't."""
    asked = "attribute_exists" if cancelled else "attribute_not_exists"
    return RUNNING & Condition(
        f"lease_until <= :now AND {asked}(cancel_requested_at)", {":now": now}
    )


def unheld(now: Millis) -> Condition:
    """The task has not ended, and nobody holds a lease; nor does it wait for a canvas."""
    lease_over = RUNNING & Condition("lease_until <= :now", {":now": now})
    return (WAITING & NOT_AWAITING) | lease_over


@dataclass(frozen=True)
class Update:
    """What a transition changes: values to set (None changes nothing), to add, to remove.

    ``copies`` sets attributes from expressions of what others were before.
    """

    changes: Mapping[str, Any]
    add: Mapping[str, int]
    remove: tuple[str, ...] = ()
    copies: Mapping[str, str] | None = None

    def parameters(self, condition: Condition) -> dict[str, Any]:
        """The parameters of UpdateItem that say so, if the condition holds."""
        changes = {
            name: to_plain(value) for name, value in self.changes.items() if value is not None
        }
        copies = self.copies or {}
        sets = [f"#{name} = :new_{name}" for name in changes]
        sets += [f"#{name} = {source}" for name, source in copies.items()]
        clauses = [
            f"SET {', '.join(sets)}" if sets else "",
            f"REMOVE {', '.join(f'#{name}' for name in self.remove)}" if self.remove else "",
            f"ADD {', '.join(f'#{name} :add_{name}' for name in self.add)}",
        ]
        names = ("state", *changes, *copies, *self.remove, *self.add)
        values = {
            **condition.values,
            **{f":new_{name}": value for name, value in changes.items()},
            **{f":add_{name}": value for name, value in self.add.items()},
        }
        return {
            "UpdateExpression": " ".join(filter(None, clauses)),
            "ConditionExpression": condition.text,
            "ExpressionAttributeNames": {f"#{name}": name for name in names},
            "ExpressionAttributeValues": marshal(values),
        }
