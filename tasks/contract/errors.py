"""What a task raises to say how it failed, and what a wrong declaration raises at import.

DeclarationError          a task type is declared wrongly; raised while its module is imported
UnknownTaskTypeError      the catalogue has no such type
PermanentError            the task failed and trying again would not help
RetryLater                the task wants another attempt, at a time it names
Cancelled                 the caller asked for an end; raised inside the task (a BaseException)
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta


class DeclarationError(TypeError):
    """A task type is declared wrongly. The message names the task, the fault and the fix."""

    def __init__(self, where: str, fault: str, fix: str) -> None:
        super().__init__(f"{where}: {fault}. {fix}.")
        self.where = where
        self.fault = fault
        self.fix = fix


class UnknownTaskTypeError(KeyError):
    """The catalogue has no task type of this name; ``near`` holds the names most like it.

    A ``KeyError``, so that the catalogue's ``get`` answers None as any mapping's.
    """

    def __init__(self, name: str, near: Sequence[str]) -> None:
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        super().__init__(f"There is no task type {name!r}.{hint}")
        self.name = name
        self.near = tuple(near)

    def __str__(self) -> str:
        # KeyError would show the message in quotes.
        return str(self.args[0])


class PermanentError(Exception):
    """The task failed for good: no retry, FAILURE at once.

    ``detail`` is shown to the caller, so it says what is wrong with *their* input and what would
    be right. ``type`` is stable, kebab-case, and made for programs to compare.
    """

    def __init__(self, detail: str, type: str = "permanent-error") -> None:
        super().__init__(detail, type)
        self.detail = detail
        self.type = type

    def __str__(self) -> str:
        return self.detail


class RetryLater(Exception):
    """The task can't finish now: try again ``after`` this long.

    Counts as an attempt. With no attempt left under the task type's ``Retry``, it is a FAILURE.
    """

    def __init__(self, after: timedelta, reason: str = "") -> None:
        if after < timedelta(0):
            raise ValueError(f"RetryLater(after={after!r}): a delay can't be negative.")
        super().__init__(after, reason)
        self.after = after
        self.reason = reason

    def __str__(self) -> str:
        return self.reason or f"asked for another attempt in {self.after.total_seconds():g} s"


class Cancelled(BaseException):
    """The caller cancelled this task. Clean up, then let it pass.

    A ``BaseException``, as ``asyncio.CancelledError`` is, so that a task's own
    ``except Exception`` doesn't swallow it.
    """
