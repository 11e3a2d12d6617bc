"""Whose held message is claimed next: no tenant's waits for a crowd of another's.

SQS's fair queues choose what a worker receives. A worker also holds messages ahead, and while one
tenant floods the queue they are all that tenant's. A message that another tenant sends meanwhile
passes them:

    held here, oldest first    flooder  flooder  flooder  flooder  other
    begun or claimed           flooder × 8
    claimed next                                                   other
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from celeriac.transport.message import tenant_of

if TYPE_CHECKING:
    from celeriac.worker.request import RecordedRequest


class Turns:
    """Requests that wait to be claimed.

    ``under_way`` are those of this worker that are claimed or running.
    """

    def __init__(self, under_way: Callable[[], Iterable[RecordedRequest]]) -> None:
        self._under_way = under_way
        self._waiting: list[RecordedRequest] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def append(self, request: RecordedRequest) -> None:
        self._waiting.append(request)

    def popleft(self) -> RecordedRequest:
        """The oldest request of the tenant with the fewest under way."""
        counts = Counter(_tenant(each) for each in self._under_way())
        # The first of several that are equal.
        request = min(self._waiting, key=lambda each: counts[_tenant(each)])
        self._waiting.remove(request)
        return request


def _tenant(request: RecordedRequest) -> str | None:
    return tenant_of(request.request_dict)
