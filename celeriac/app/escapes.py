"""Exceptions that are made to pass every handler, as ordinary failures of a task.

``asyncio.CancelledError``, ``SystemExit`` and ``GeneratorExit`` are no ``Exception``. Celery and
its pools let them pass, and they would end the child, or the main process with all that it holds.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from billiard.einfo import ExceptionInfo, ExceptionWithTraceback
from celery.exceptions import Ignore, Reject, Retry
from kombu.utils.encoding import safe_repr

from celeriac.app.release import Foreign, ReturnAfter, TakenOver, Wait
from celeriac.contract import Cancelled
from celeriac.contract.errors import Picklable
from celeriac.records.record import Failure, text_of


class EscapedError(Picklable, Exception):
    """Stands for an exception that can't go on as it is; ``type`` is the name of its class."""

    def __init__(self, type: str, message: str) -> None:
        super().__init__(type, message)
        self.type = type
        self.message = message

    def __str__(self) -> str:
        return self.message

    @classmethod
    def of(cls, error: BaseException) -> EscapedError:
        """The failure that stands for this exception."""
        if type(error) is SystemExit:
            return cls("SystemExit", f"The task called sys.exit({safe_repr(error.code)}).")
        type_ = Failure.of(error).type
        return cls(type_, text_of(error) or f"The task raised {type_}.")


def contained(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function of the user's. A process that it forks ends where the function does.

    Such a process would run the pool's code a second time, and end the same task twice.

    Raises:
        EscapedError: it raised an exception that is no ``Exception``.
        Cancelled: its caller cancelled the task.
        Exception: as the function raised it.
    """
    pid = os.getpid()
    try:
        result = function(*args, **kwargs)
    except BaseException as error:
        if os.getpid() != pid:
            _end_fork(error)
        if isinstance(error, Exception | Cancelled):
            raise
        raise EscapedError.of(error) from error
    if os.getpid() != pid:
        _end_fork(None)
    return result


def _end_fork(error: BaseException | None) -> NoReturn:
    """End a forked process, without the exit handlers and the unwritten output of the pool's."""
    code = 0
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    elif error is not None:
        code = 1
        traceback.print_exception(error, file=sys.__stderr__)
    os._exit(code)


def plain(error: BaseException) -> Exception:
    """The error as another process can read it, which may know none of the user's classes."""
    match error:
        case Reject(reason=reason, requeue=requeue):
            known: Exception = Reject(_plain_reason(reason), requeue)
        case Retry(message=message, excs=why, when=when):
            known = Retry(message, why, when)
        case Ignore():
            known = Ignore(str(error))
        case MemoryError():
            known = MemoryError(text_of(error))
        case _:
            known = EscapedError.of(error)
    return known


def told_plainly(raised: ExceptionInfo) -> ExceptionInfo:
    """What a task has raised, so that no handler takes it for what a pool or a worker raises."""
    wrapped = raised.exception
    if isinstance(wrapped, ExceptionWithTraceback):
        wrapped.exc = plain(wrapped.exc)
        raised.type = type(wrapped.exc)
    else:
        raised.exception = plain(wrapped)
        raised.type = type(raised.exception)
    return raised


def _plain_reason(reason: object) -> object:
    """Why a message is rejected: a reason of ours, or a text."""
    if isinstance(reason, ReturnAfter | Wait | TakenOver | Foreign):
        return reason
    return EscapedError.of(reason) if isinstance(reason, BaseException) else safe_repr(reason)


def as_exception(error: BaseException) -> Exception:
    """The error itself, or the failure that stands for it."""
    return error if isinstance(error, Exception) else EscapedError.of(error)
