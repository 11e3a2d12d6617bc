"""Time as the records keep it: whole milliseconds since 1970, UTC."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Millis = int
Clock = Callable[[], Millis]


def now() -> Millis:
    return time.time_ns() // 1_000_000


def millis(duration: timedelta) -> Millis:
    return duration // timedelta(milliseconds=1)


def to_datetime(moment: Millis) -> datetime:
    return datetime.fromtimestamp(moment / 1000, UTC)
