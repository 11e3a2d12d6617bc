"""What a task raises to say how it failed, and what a wrong declaration raises at import.

DeclarationError          a declaration is wrong; raised while its module is imported
ScheduleError             there can be no such schedule
UnknownTaskTypeError      the catalogue has no such type
PermanentError            the task failed, and another attempt would not help
RetryLater                the task wants another attempt, after a delay it names
└── RateLimited           the same, and this attempt doesn't count
Cancelled                 the caller cancelled the task; raised inside it (a BaseException)
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from celeriac.contract.places import Place, short


class Picklable(BaseException):
    """An error that reaches another process as it is: with its message and its attributes.

    Python would make it again from its message alone.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return _make_again, (type(self), self.args, self.__dict__)


def _make_again(
    kind: type[BaseException], args: tuple[Any, ...], attributes: dict[str, Any]
) -> BaseException:
    error = kind.__new__(kind, *args)
    error.__dict__.update(attributes)
    return error


class DeclarationError(TypeError, Picklable):
    """A task type or a queue is declared wrongly.

    The message is one line: ``tasks/count_words.py:12: fault. Fix.`` The parts are attributes;
    ``fault`` and ``fix`` end without a full stop.
    """

    def __init__(self, place: Place, fault: str, fix: str) -> None:
        super().__init__(f"{place}: {fault}. {fix}.")
        self.place = place
        self.fault = fault
        self.fix = fix

    @property
    def file(self) -> str:
        """The path of the file to change."""
        return self.place.file

    @property
    def line(self) -> int:
        """The line to change, counted from 1."""
        return self.place.line


class ScheduleError(Picklable, ValueError):
    """There can be no such schedule. ``fault`` and ``fix`` are sentences without a full stop.

    ``field`` is the wrong part: ``cron``, ``rate``, ``at``, ``timezone``, ``start``, ``end``,
    ``overlap`` or ``payload``. ``near`` are similar names of time zones.
    """

    def __init__(self, field: str, fault: str, fix: str, near: tuple[str, ...] = ()) -> None:
        super().__init__(f"{fault}. {fix}.")
        self.field = field
        self.fault = fault
        self.fix = fix
        self.near = near


class UnknownTaskTypeError(KeyError, Picklable):
    """The catalogue has no task type of this name; ``near`` holds the most similar names.

    It is a ``KeyError``, so that the catalogue's ``get`` returns None, like any mapping's.
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
    """The task failed for good: it ends as FAILURE, without another attempt.

    The caller sees ``detail``: say what is wrong with *their* input, and what would be right.
    ``type`` is a stable kebab-case word for programs to compare.
    """

    def __init__(self, detail: str, type: str = "permanent-error") -> None:
        super().__init__(detail, type)
        self.detail = detail
        self.type = type

    def __str__(self) -> str:
        return self.detail


class RetryLater(Exception):
    """The task can't finish now. Another attempt starts ``after`` this delay.

    This one counts as an attempt. If the task type's ``Retry`` allows no more, the task ends as
    FAILURE.
    """

    def __init__(self, after: timedelta, reason: str = "") -> None:
        given: object = after
        said = f"{type(self).__name__}(after={short(given)})"
        if not isinstance(given, timedelta):
            raise TypeError(f"{said} is not a timedelta: write timedelta(seconds=...).")
        if given < timedelta(0):
            raise ValueError(f"{said}: a delay can't be negative.")
        super().__init__(after, reason)
        self.after = after
        self.reason = reason

    def __str__(self) -> str:
        return self.reason or f"asked for another attempt in {self.after.total_seconds():g} s"


class RateLimited(RetryLater):
    """A service throttles the task. The next attempt starts ``after`` this delay.

    The attempt doesn't count. However long the service refuses, until the task's record expires,
    the attempts of the task type's ``Retry`` remain for other failures. Give a delay that grows
    with ``context.attempt``, which counts every attempt.
    """


class Cancelled(BaseException):
    """The caller cancelled this task. Clean up, then let the exception pass.

    It is a ``BaseException``, like ``asyncio.CancelledError``, so that a task's own
    ``except Exception`` doesn't swallow it.
    """
