"""A call of a Celery task: its arguments, and the options that make it part of a canvas.

The record keeps it, so that the message can be sent again exactly as it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kombu.utils.json import dumps, loads

#: SQS bills each 64 KiB of a message as a request of its own. What leaves room for the headers
#: goes into the message, larger arguments travel by reference.
LARGEST_IN_MESSAGE = 48 * 1024


@dataclass(frozen=True)
class Call:
    """``options`` are those of ``apply_async`` that a message carries, in JSON's types."""

    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def payload(self) -> Any:
        """What a task type is called with: its only argument."""
        return self.args[0] if self.args else self.kwargs.get("payload")

    def to_text(self) -> str:
        parts = {"args": list(self.args), "kwargs": self.kwargs, "options": self.options}
        text: str = dumps({name: part for name, part in parts.items() if part})
        return text

    @classmethod
    def from_text(cls, text: str) -> Call:
        return cls(**loads(text))
