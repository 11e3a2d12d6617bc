"""Which held message is claimed next: an urgent one first, and no tenant's waits for a crowd's.

Urgent tasks come first, and normal ones get their share:

    held      N N N N N N H H H H H
    begun     H H H H N H N N N N N

SQS's fair queues choose what a worker receives. A worker also holds messages ahead, and while one
tenant floods the queue they are all that tenant's. A message that another tenant sends meanwhile
passes those of the same lane:

    held here, oldest first    flooder  flooder  flooder  flooder  other
    begun or claimed           flooder × 8
    claimed next                                                   other
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

from celeriac.transport.polls import SHARE

T = TypeVar("T")


def _of_one(_: object) -> Hashable:
    return None


class Turns(Generic[T]):
    """What waits to be claimed, in two lines: while both have some, one of ``SHARE`` is normal.

    ``under_way`` are those that are claimed or running, and ``tenant`` says whose each is.
    """

    def __init__(
        self,
        under_way: Callable[[], Iterable[T]] = tuple,
        tenant: Callable[[T], Hashable] = _of_one,
    ) -> None:
        self._under_way = under_way
        self._tenant = tenant
        self._high: list[T] = []
        self._normal: list[T] = []
        self._urgent = 0

    def __len__(self) -> int:
        return len(self._high) + len(self._normal)

    def add(self, each: T, *, high: bool) -> None:
        """Have it wait at the end of its line."""
        (self._high if high else self._normal).append(each)

    def take(self) -> T:
        """The next one: of its line, the oldest of the tenant with the fewest under way."""
        if self._high and not (self._normal and self._urgent >= SHARE - 1):
            self._urgent += 1
            line = self._high
        else:
            self._urgent = 0
            line = self._normal
        counts = Counter(map(self._tenant, self._under_way()))
        # The first of several that are equal.
        found = min(line, key=lambda each: counts[self._tenant(each)])
        line.remove(found)
        return found
