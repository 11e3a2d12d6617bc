"""The order in which a worker begins what it holds: urgent tasks first, normal ones their share.

held      N N N N N N H H H H H
begun     H H H H N H N N N N N
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

from celeriac.transport.polls import SHARE

T = TypeVar("T")


class Turns(Generic[T]):
    """What waits, in two lines. While both have some, one of ``SHARE`` is taken from the normal."""

    def __init__(self) -> None:
        self._high: deque[T] = deque()
        self._normal: deque[T] = deque()
        self._urgent = 0

    def add(self, each: T, *, high: bool) -> None:
        """Have it wait at the end of its line."""
        (self._high if high else self._normal).append(each)

    def take(self) -> T:
        """The next one. Raises ``IndexError`` if none waits."""
        if self._high and not (self._normal and self._urgent >= SHARE - 1):
            self._urgent += 1
            return self._high.popleft()
        self._urgent = 0
        return self._normal.popleft()

    def __len__(self) -> int:
        return len(self._high) + len(self._normal)
