"""Whether a task may run now: asked before its claim, when a process or thread is free for it.

    SQS      message ─ received ───────────────────── copy, delayed ─ received
    worker              asks ✗ ─ sends copy ─ deletes                  asks ✓ ─ claims ─ runs
    record   PENDING ·································································· STARTED

A task that may not run now waits in SQS. A copy of its message, which arrives later, replaces the
message, so no receive and no attempt is used up. A crash between sending and deleting leaves two
messages; only one of them is claimed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from celeriac import clock
from celeriac.app.release import PLACES, Wait
from celeriac.app.typed_task import limits_of, type_name_of
from celeriac.clock import Millis
from celeriac.contract.limits import Limit
from celeriac.storage.line import Later, Place
from celeriac.storage.rates import Start
from celeriac.storage.services import services
from celeriac.transport.call import Call
from celeriac.transport.message import HEADER
from celeriac.worker.pausing import ASK_AGAIN_AFTER, pausing

if TYPE_CHECKING:
    from celeriac.worker.request import RecordedRequest

log = logging.getLogger(__name__)


class Admission:
    """One delivery's way past the limits of its task type. Its methods wait for DynamoDB."""

    def __init__(self, request: RecordedRequest, name: str, limits: Sequence[Limit]) -> None:
        own: Mapping[str, Any] = request.request_dict.get(HEADER) or {}
        self._limits = limits
        self._type = name
        self._tenant = str(own.get("tenant") or request.app.settings.tenant)
        self._task_id = str(request.id)
        self._owner = request.owner
        self._reference: str | None = own.get("input")
        self._call = Call(request.request_dict["args"], request.request_dict["kwargs"])
        self._places = _places(own.get(PLACES))
        self._taken: list[str] = []
        #: Until when it may be claimed.
        self.until: Millis = 0

    def ask(self) -> Wait | None:
        """Take a slot and a start of each limit, or free them again and say how long to wait.

        Raises:
            botocore.exceptions.ClientError: AWS refuses for now, or has no permission.
            botocore.exceptions.BotoCoreError: AWS can't be reached.
            celeriac.storage.values.ValueMissingError: the task's input has expired.
        """
        if pausing().pauses_type(self._type):
            # Its places in lines stay with it.
            return Wait(f"{self._type} is paused", ASK_AGAIN_AFTER, self._places)
        self.until = clock.now() + clock.millis(services().slots.claim_within)
        content = self._content()
        starts: list[Start] = []
        # Slots first, which can always be freed again, then the slowest rate. A start of a fast
        # rate is taken last, so that no slower one refuses the task then.
        for limit in sorted(self._limits, key=_slowest_first):
            scope = limit.scope(self._type, self._tenant, content)
            answer = self._pass(limit, scope)
            if isinstance(answer, Later):
                self.leave()
                for start in starts:
                    services().rates.free(start)
                places = {**self._places, scope: answer.place}
                return Wait(f"{limit} of {self._type}", answer.after, places)
            if answer is not None:
                starts.append(answer)
                time.sleep(max(0, answer.at - clock.now()) / 1000)
        return None

    def late(self) -> bool:
        """Whether it was admitted so long ago that its slots may have been given to others."""
        return clock.now() >= self.until

    def leave(self) -> None:
        """Free the slots that were taken. Raises as ``ask``; what isn't freed is evicted later."""
        while self._taken:
            services().slots.free(self._taken.pop(), self._task_id, self._owner)

    @property
    def holds(self) -> bool:
        """Whether there is anything to free."""
        return bool(self._taken)

    def _pass(self, limit: Limit, scope: str) -> Start | Later | None:
        """Its start, now or soon, or when to ask again; None for a slot."""
        place = self._places.get(scope)
        if limit.max_running is None:
            return services().rates.start(scope, limit, place)
        # Noted first: a slot whose answer is lost is freed too.
        self._taken.append(scope)
        return services().slots.take(scope, limit.max_running, self._task_id, self._owner, place)

    def _content(self) -> Any:
        """The payload, if a limit has a key: as the message carries it, or as it is kept."""
        if not any(each.key for each in self._limits):
            return None
        if self._reference is None:
            return self._call.payload
        text = services().values.get(self._tenant, self._task_id, self._reference)
        return Call.as_json(text).payload


def _slowest_first(limit: Limit) -> tuple[bool, int]:
    return (limit.rate is not None, -limit.interval)


def admission_of(request: RecordedRequest) -> Admission | None:
    """What a request has to pass before its claim.

    None for most, whose type has no limits and isn't paused.
    """
    task = request.task
    limits, name = limits_of(task), type_name_of(task)
    return Admission(request, name, limits) if limits or pausing().pauses_type(name) else None


def _places(given: Any) -> dict[str, Place]:
    """The places that a message carries. Anyone may have written it."""
    match given:
        case dict():
            return {
                name: Place(*each)
                for name, each in given.items()
                if isinstance(each, list) and [type(part) for part in each] == [int, int]
            }
    return {}
