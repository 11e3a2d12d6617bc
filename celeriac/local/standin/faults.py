"""What can go wrong, and when."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal[
    "delay",  # answered after `seconds`
    "drop",  # the connection is closed, nothing is performed
    "hold",  # the connection stays open and nothing ever comes
    "unavailable",  # 503
    "throttle",  # 400, as each service says it
    "expired",  # 403: the credentials' time is over
    "lose-answer",  # performed, and then the connection is closed
    "duplicate",  # SQS delivers a message, and once more
    "reorder",  # SQS delivers in another order
]

#: Those that spoil a call; the others only change how SQS delivers.
CALL_KINDS = frozenset(
    {"delay", "drop", "hold", "unavailable", "throttle", "expired", "lose-answer"}
)


@dataclass(frozen=True)
class Fault:
    """One kind of trouble, for the calls it is about.

    ``probability`` is each call's, from 0 to 1. ``seconds`` is the length of a delay. ``lasts`` is
    the number of seconds until the fault ends; without it, it never ends.
    """

    kind: Kind
    service: str | None = None
    operation: str | None = None
    probability: float = 1
    seconds: float = 1
    lasts: float | None = None


class Faults:
    """The faults in force."""

    def __init__(self) -> None:
        self._calls: list[tuple[Fault, float]] = []
        self._deliveries: list[tuple[Fault, float]] = []
        self._random = random.Random(1)  # the same run twice fails alike
        self.count = 0

    def put(self, described: Iterable[dict[str, Any]]) -> None:
        """Let these be in force, and no others."""
        now = time.monotonic()
        faults = [Fault(**each) for each in described]
        timed = [(each, now + each.lasts if each.lasts else float("inf")) for each in faults]
        self._calls = [each for each in timed if each[0].kind in CALL_KINDS]
        self._deliveries = [each for each in timed if each[0].kind not in CALL_KINDS]

    def of_call(self, service: str, operation: str) -> Fault | None:
        """What goes wrong with this call, if anything does."""
        for fault, ends_at in self._calls:
            if (
                fault.service in {None, service}
                and fault.operation in {None, operation}
                and self._strikes(fault, ends_at)
            ):
                self.count += 1
                return fault
        return None

    def of_delivery(self, kind: Kind) -> Fault | None:
        """Whether a delivery suffers this."""
        for fault, ends_at in self._deliveries:
            if fault.kind == kind and self._strikes(fault, ends_at):
                return fault
        return None

    def _strikes(self, fault: Fault, ends_at: float) -> bool:
        if fault.probability < 1 and self._random.random() >= fault.probability:
            return False
        return time.monotonic() < ends_at
