"""Time as the records keep it: whole milliseconds since 1970, UTC, by AWS's clock.

A lease is written by the worker that holds it and read by those that would take it over. By clocks
that differ, a live lease looks dead. So each process follows one clock: AWS's, which every answer
names in its ``Date`` header (RFC 9110, section 6.6.1). A claim follows the answer that brought its
message, so what a worker knows of the time is never older than that answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

Millis = int
Clock = Callable[[], Millis]

#: A ``Date`` header names whole seconds: what it leaves out.
_ROUNDED_OFF: Millis = 1000

_offset: Millis = 0


def now() -> Millis:
    """AWS's time, as the answers so far tell it; this machine's before the first."""
    return machine() + _offset


def machine() -> Millis:
    """This machine's time. Nothing that another process reads is written by it."""
    return time.time_ns() // 1_000_000


def offset() -> Millis:
    """How far AWS's clock is ahead of this machine's."""
    return _offset


def adopt(known: Millis) -> None:
    """Take over the offset that another process of this machine has found."""
    global _offset  # noqa: PLW0603 - a process has one clock
    _offset = known


def observe(date: str | None, sent: Millis, received: Millis) -> None:
    """Learn AWS's time from the ``Date`` header of an answer.

    ``sent`` and ``received`` are this machine's time before and after the call. What is known
    already stays, as far as this answer allows it: a slow answer doesn't blur it.

        machine    sent ─────────── received
        AWS                 │ somewhere between, from date to date + 1 s
    """
    try:
        named = int(parsedate_to_datetime(date or "").timestamp()) * 1000
    except ValueError:
        return  # an answer that names no time teaches none
    adopt(min(max(_offset, named - received), named + _ROUNDED_OFF - sent))


def millis(duration: timedelta) -> Millis:
    return duration // timedelta(milliseconds=1)


def to_datetime(moment: Millis) -> datetime:
    return datetime.fromtimestamp(moment / 1000, UTC)
