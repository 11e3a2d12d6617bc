"""A call of a Celery task: its arguments, and the options that make it part of a canvas.

The record keeps it, so that the message can be sent again exactly as it was.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kombu.utils.json import dumps, loads, register_type

#: SQS bills each 64 KiB of a message as a request of its own. What leaves room for the headers
#: goes into the message, larger arguments travel by reference.
LARGEST_IN_MESSAGE = 48 * 1024


# What makes a task part of a canvas. That went on, or failed, when the task did.
_CANVAS = frozenset({"chain", "chord", "group_id", "group_index", "parent_id", "root_id"})

#: An object with these two members is a Python value in kombu's JSON.
KOMBUS = {"__type__", "__value__"}
MARKER = "celeriac-json"


@dataclass(frozen=True)
class Literal:
    """JSON that kombu would take for something else: a caller's object with kombu's members.

    It travels as a text, through messages, records and retries.
    """

    value: Any

    def __repr__(self) -> str:
        return repr(self.value)


register_type(
    Literal,
    MARKER,
    lambda literal: json.dumps(literal.value),
    lambda text: Literal(json.loads(text)),
)


def literal(value: Any) -> Any:
    """A payload for a message: itself, unless kombu would read it as something else."""
    waiting = [value]
    while waiting:
        match waiting.pop():
            case dict(each):
                if each.keys() == KOMBUS:
                    return Literal(value)
                waiting += each.values()
            case list(each):
                waiting += each
    return value


def plain(value: Any) -> Any:
    """The payload that ``literal`` was given, also from a message that kombu hasn't read."""
    match value:
        case Literal(value=inside):
            return inside
        case {"__type__": marker, "__value__": str(text)} if marker == MARKER:
            return json.loads(text)
    return value


@dataclass(frozen=True)
class Call:
    """``options`` are those of ``apply_async`` that a message carries, in JSON's types."""

    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def payload(self) -> Any:
        """What a task type is called with: its only argument."""
        return plain(self.args[0] if self.args else self.kwargs.get("payload"))

    def to_text(self) -> str:
        parts = {"args": list(self.args), "kwargs": self.kwargs, "options": self.options}
        text: str = dumps({name: part for name, part in parts.items() if part})
        return text

    def alone(self) -> Call:
        """The same call for a new task, which stands by itself."""
        options = {name: value for name, value in self.options.items() if name not in _CANVAS}
        return Call(self.args, self.kwargs, options)

    @classmethod
    def from_text(cls, text: str) -> Call:
        return cls(**loads(text))

    @classmethod
    def as_json(cls, text: str) -> Call:
        """As ``from_text``, with the arguments as they are in JSON: nothing in them can be wrong.

        Sent again, they make the same message.
        """
        return cls(**json.loads(text))
