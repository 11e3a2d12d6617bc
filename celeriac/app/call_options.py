"""The options of one call of a task: which hold on SQS, which have no meaning, which are refused.

Each call is checked when it is sent, with all signatures in it: the steps of its chain, the body of
its chord, its callbacks and errbacks. Their own sendings come later, in a worker, whose task has
succeeded by then and would fail for a mistake in the next one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from celery.app.task import Context
from kombu.utils.json import dumps

from celeriac.app.canvas_parts import PARTS
from celeriac.app.options import OptionRefusedError, refuse_serializer
from celeriac.contract.errors import Picklable
from celeriac.records.identifiers import is_task_id
from celeriac.topology import FURTHEST_DUE
from celeriac.transport.lanes import LAST_NORMAL, is_number
from celeriac.transport.message import HEADER

#: What only another broker understands. Messages are JSON, and large arguments are in S3.
_NOT_ON_SQS = frozenset({"compression", "exchange", "exchange_type", "routing_key", "serializer"})

#: The two names by which kombu's SQS transport knows a delay (kombu/transport/SQS/__init__.py).
_DELAYS = ("delay_seconds", "DelaySeconds")

#: docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
_GROUP_ID = re.compile(r"[0-9A-Za-z!-/:-@\[-`{-~]{1,128}")
_ATTRIBUTE_NAME = re.compile(r"[0-9A-Za-z_.-]{1,256}")
_DATA_TYPE = re.compile(r"(String|Number|Binary)(\.[^\x00-\x1f]{1,240})?")
_MOST_ATTRIBUTES = 10
#: The arguments of a canvas in which there are signatures.
_ARGUMENTS = ("tasks", "header", "body")
#: Of a caller's headers and stamps as JSON, in bytes. They are in each message:
#: SQS bills each 64 KiB of one as a request of its own.
_LARGEST_HEADERS = 32 * 1024
#: A record keeps the name of its task, and the id of its group.
_LONGEST_NAME = 255

#: What this worker notes in ``self.request``, and the methods of it. No message has these.
NEVER_SENT = frozenset(
    each for each, value in vars(Context).items() if callable(value) or each.startswith("_")
) | {
    "admit",
    "admitted_until",
    "begun",
    "claimed",
    "clock_offset",
    "ended",
    "has_run",
    "in_run",
    "raised",
    "record",
    "replaced",
    "result_text",
    "retry_reason",
    "retrying",
    "whole",
}

#: A message's headers become attributes of ``self.request``. These are Celery's protocol, the
#: request's own, or ours: docs.celeryq.dev/en/stable/internals/protocol.html
RESERVED = (
    frozenset(vars(Context))
    | NEVER_SENT
    | {
        "argsrepr",
        "compression",
        "content_encoding",
        "content_type",
        "kwargsrepr",
        "lang",
        "owner",
        "task",
        HEADER,
    }
)


class TaskIdError(Picklable, ValueError):
    """A caller chose an id that a task can't have."""

    def __init__(self, task_id: object) -> None:
        shown = f"{task_id!r:.120}"
        if isinstance(task_id, str):
            why = (
                "It has a URL of its own: use up to 255 letters, digits, '-', '_', '.' and ':', "
                "and not '.' or '..'"
            )
        else:
            why = f"It is a {type(task_id).__name__}: pass a text, such as str(task_id)"
        super().__init__(f"A task can't have the id {shown}. {why}.")
        self.task_id = task_id


def checked(name: str, task_id: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that hold, of a call that may be sent. Its signatures lose the others, too.

    Raises:
        TaskIdError: this call, or a signature in it, has an id that no task can have.
        OptionRefusedError: an option can't hold here. The message says what to do instead.
    """
    _check_name(name)
    _check({**options, "task_id": task_id})
    for each in signatures_in(options):
        inside = each.get("options") or {}
        _check(inside)
        for other in _NOT_ON_SQS & inside.keys():
            del inside[other]
    return {each: value for each, value in options.items() if each not in _NOT_ON_SQS}


def without_brokers(options: dict[str, Any]) -> dict[str, Any]:
    """A route, or the options of a task's class, without what has no meaning on SQS."""
    return {each: value for each, value in options.items() if each not in _NOT_ON_SQS}


def delay_of(options: dict[str, Any], countdown: float | None) -> float | None:
    """The countdown that ``DelaySeconds`` asks for as well. Takes it out of the options."""
    for name in _DELAYS:
        seconds = options.pop(name, None)
        if seconds is None:
            continue
        if not isinstance(seconds, int | float) or not 0 <= seconds < float("inf"):
            raise OptionRefusedError(
                f"{name}={seconds!r} is refused: pass a number of seconds, zero or more."
            )
        countdown = max(countdown or 0, seconds)
    return countdown


def check_countdown(seconds: float) -> None:
    """Raise ``OptionRefusedError`` for a delay that is no number, or longer than a year."""
    furthest = FURTHEST_DUE // timedelta(seconds=1)
    if not seconds <= furthest:
        raise OptionRefusedError(
            f"A delay of {seconds:,.0f} seconds is refused: a task may be due "
            f"{FURTHEST_DUE.days} days from now at most ({furthest:,} seconds)."
        )


def signatures_in(options: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """All signatures that are in the options of a call, at any depth."""
    waiting = [options.get(each) for each in PARTS]
    while waiting:
        each: Any = waiting.pop()
        if isinstance(each, list | tuple):
            # Not +=, by which a generator of Celery's would take the list's place.
            waiting.extend(each)
        elif isinstance(each, Mapping) and "task" in each:
            yield each
            inside = each.get("options") or {}
            waiting.extend(inside.get(name) for name in PARTS)
            if each.get("subtask_type"):
                parts = each.get("kwargs") or {}
                waiting.extend(parts.get(name) for name in _ARGUMENTS)


def own_headers(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a message's headers that its caller gave it."""
    return {name: value for name, value in headers.items() if name not in RESERVED}


def _is_name(text: object) -> bool:
    return isinstance(text, str) and 0 < len(text) <= _LONGEST_NAME and text.isprintable()


def _check_name(name: object) -> None:
    if not _is_name(name):
        raise OptionRefusedError(
            f"A task can't have the name {name!r:.120}: use up to {_LONGEST_NAME} printable "
            "characters."
        )


def _check(options: Mapping[str, Any]) -> None:
    task_id = options.get("task_id")
    if task_id is not None and not is_task_id(task_id):
        raise TaskIdError(task_id)
    group_id = options.get("group_id")
    if group_id is not None and not is_task_id(group_id):
        raise OptionRefusedError(
            f"group_id={group_id!r:.120} is refused: pass a text that could be a task's id."
        )
    refuse_serializer("serializer", options.get("serializer"))
    _check_priority(options.get("priority"))
    _check_headers(options.get("headers"))
    _check_size(options)
    _check_group(options.get("MessageGroupId"))
    _check_attributes(options.get("message_attributes"))


def _check_priority(priority: Any) -> None:
    if priority is not None and not is_number(priority):
        raise OptionRefusedError(
            f"priority={priority!r:.120} is refused: pass a number from 0 to 9. "
            f"Above {LAST_NORMAL} a task is urgent."
        )


def _check_headers(headers: Any) -> None:
    if not headers:
        return
    if not isinstance(headers, Mapping):
        raise OptionRefusedError(f"headers={headers!r:.120} is refused: pass a dictionary.")
    for each in headers:
        if not isinstance(each, str) or each in RESERVED:
            raise OptionRefusedError(
                f"A header of your own can't be called {each!r:.120}: the message has, or its "
                "request uses, one of this name. Give it a prefix, such as 'x-'."
            )


def _check_size(options: Mapping[str, Any]) -> None:
    stamps = {name: options.get(name) for name in options.get("stamped_headers") or ()}
    headers = options.get("headers")
    if not headers and not stamps:
        return
    try:
        size = len(dumps([headers, stamps]))
    except (RecursionError, TypeError, ValueError) as error:
        raise OptionRefusedError(
            f"The headers and stamps of this task can't be JSON: {error}. Pass texts and numbers."
        ) from error
    if size > _LARGEST_HEADERS:
        raise OptionRefusedError(
            f"The headers and stamps of this task come to {size:,} bytes; {_LARGEST_HEADERS:,} are "
            "the most. Pass large values as arguments."
        )


def _check_group(group: Any) -> None:
    if group is not None and not (isinstance(group, str) and _GROUP_ID.fullmatch(group)):
        raise OptionRefusedError(
            f"MessageGroupId={group!r:.200} is refused: SQS takes up to 128 letters, digits and "
            "ASCII punctuation marks."
        )


def _check_attributes(attributes: Any) -> None:
    if not attributes:
        return
    fits = isinstance(attributes, Mapping) and len(attributes) <= _MOST_ATTRIBUTES
    if not fits or not all(_is_attribute(name, each) for name, each in attributes.items()):
        raise OptionRefusedError(
            f"message_attributes={attributes!r:.200} is refused: SQS takes up to ten, such as "
            "{'city': {'DataType': 'String', 'StringValue': 'Paris'}}."
        )


def _is_attribute(name: Any, attribute: Any) -> bool:
    if not isinstance(name, str) or not _ATTRIBUTE_NAME.fullmatch(name):
        return False
    match attribute:
        case {"DataType": str(kind), "BinaryValue": bytes(value), **rest}:
            return kind.startswith("Binary") and bool(value) and not rest and _is_type(kind)
        case {"DataType": str(kind), "StringValue": str(value), **rest}:
            return not kind.startswith("Binary") and bool(value) and not rest and _is_type(kind)
    return False


def _is_type(kind: str) -> bool:
    return _DATA_TYPE.fullmatch(kind) is not None
