"""Where something is declared, as a file and a line that an editor can open."""

from __future__ import annotations

import inspect
import os
import reprlib
from collections.abc import Callable
from types import FrameType
from typing import Any, NamedTuple


class Place(NamedTuple):
    """A line of a file. As text: ``tasks/count_words.py:12``, seen from the current directory."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{shown(self.file)}:{self.line}"

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Place:
        """Where a function begins: at its first decorator, if it has one."""
        code = inspect.unwrap(function).__code__
        return cls(code.co_filename, code.co_firstlineno)

    @classmethod
    def of_caller(cls, frame: FrameType | None, above: int = 1) -> Place:
        """The line that is being executed ``above`` this many calls over a frame."""
        for _ in range(above):
            frame = frame and frame.f_back
        if frame is None:
            return cls("<unknown>", 0)
        return cls(frame.f_code.co_filename, frame.f_lineno)


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80


def short(value: object) -> str:
    """How a value looks in code: in one line, whatever its ``__repr__`` does."""
    return " ".join(_SHORT.repr(value).split())


def whole(value: object) -> bool:
    """Whether this is a whole number from 1. True is no number."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def shown(file: str) -> str:
    """A path relative to the current directory if it lies within, and absolute otherwise."""
    directory = os.path.join(os.getcwd(), "")  # noqa: PTH109, PTH118 - pathlib costs a cold start
    return file.removeprefix(directory)
