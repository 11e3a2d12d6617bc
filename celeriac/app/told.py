"""A failure that a task's own code has told: ``update_state("FAILURE", meta=…)``, then ``Ignore``.

Celery's ``AsyncResult`` needs two members of ``meta``, as its documentation says: ``exc_type`` and
``exc_message``. Without them reading the result would fail, so they are added.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from celery.exceptions import TaskError
from celery.utils.serialization import UnpickleableExceptionWrapper

from celeriac.records import Failure


def as_kept(meta: Any) -> dict[str, Any]:
    """The meta as Celery keeps an error; with what else the task's code has put into it."""
    if isinstance(meta, Mapping) and (kind := meta.get("exc_type")):
        name, module = (
            (kind.__name__, kind.__module__) if isinstance(kind, type) else (str(kind), None)
        )
        return {"exc_message": "", "exc_module": module, **meta, "exc_type": name}
    others = dict(meta) if isinstance(meta, Mapping) else {}
    return {
        **others,
        "exc_type": TaskError.__name__,
        "exc_message": [_message(meta)],
        "exc_module": TaskError.__module__,
    }


def failure_of(meta: Any) -> Failure:
    """What the record says of it."""
    kept = as_kept(meta)
    return Failure(type=kept["exc_type"], message=_text(kept["exc_message"]))


def as_error(failure: Failure) -> BaseException:
    """The error of an attempt that is tried again, of which the record keeps the class's name.

    Of a class that isn't Python's own it is Celery's stand-in for what can't be made again.
    """
    kind = getattr(builtins, failure.type, None)
    if isinstance(kind, type) and issubclass(kind, Exception):
        with suppress(Exception):
            return kind(failure.message)
    said = f"{failure.type}({failure.message!r})"
    stand_in: Exception = UnpickleableExceptionWrapper("", failure.type, (failure.message,), said)
    return stand_in


def _message(meta: Any) -> str:
    """What is said of a failure without ``exc_type``."""
    if isinstance(meta, Mapping):
        return _text(meta.get("exc_message") or meta.get("message") or dict(meta) or "")
    return "" if meta is None else str(meta)


def _text(said: Any) -> str:
    """A message in one text. Of a traceback it is the last line, which names the error."""
    parts = said.splitlines() if isinstance(said, str) else said
    if not isinstance(parts, Sequence):
        return str(said)
    texts = [str(each) for each in parts]
    if texts and texts[0].startswith("Traceback"):
        return next((each for each in reversed(texts) if each.strip()), "")
    return said if isinstance(said, str) else ", ".join(texts)
