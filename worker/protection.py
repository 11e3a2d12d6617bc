"""ECS scale-in protection: no busy worker is chosen when its service shrinks, or is deployed anew.

    idle ── has work: protect ──► protected ── has had none for a while: let go ──► idle
                                    │     ▲
                        is to go    ▼     │ is not, after all
                                  leaving: receives nothing ── all has ended: let go, rest ──► idle

Workers that share a queue's messages all have some, though fewer could do the work, and those of
an old deployment get theirs as long as they live: ECS would find nobody to stop. So a protected
worker looks from time to time whether it is to go (``worker.surplus``), and then ends what it runs
and rests, in which ECS stops it. CloudFormation gives a deployment three hours.

ECS refuses to protect while more are protected than a service is to have: the new workers of a
deployment, while old ones are. One that isn't to go works on without.
docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection.html
"""

from __future__ import annotations

import json
import logging
import os
import urllib.request
from collections.abc import Callable
from datetime import timedelta
from http import HTTPStatus
from time import monotonic
from urllib.error import HTTPError

log = logging.getLogger(__name__)

#: An idle worker is let go after this long, so that gaps between tasks don't cost calls.
IDLE = timedelta(seconds=30)
#: A protected worker looks after this long whether it is to go, and asks anew if not.
RENEWAL = timedelta(minutes=5)
#: One that was refused asks again after this long.
RETRY = timedelta(minutes=1)
#: For how long a worker that has left waits to be stopped.
REST = timedelta(minutes=1)
#: What has begun when ECS refuses to renew stays protected to its end: SQS lets no message be held
#: for more than twelve hours.
LIFETIME = timedelta(hours=12) + RENEWAL
TIMEOUT = timedelta(seconds=2)


class Protection:
    """Protects this ECS task while it is busy. Does nothing outside ECS.

    ``agent_uri`` is where the agent listens; ``surplus`` looks whether this worker is to go.
    """

    def __init__(
        self,
        agent_uri: str | None,
        surplus: Callable[[], bool],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._agent_uri = agent_uri
        self._surplus = surplus
        self._clock = clock
        self._busy_at = float("-inf")
        self._protected = False
        self._due_at = float("-inf")
        self._leaving = False
        self._rests_until = float("-inf")

    @classmethod
    def from_environment(cls, surplus: Callable[[], bool]) -> Protection:
        """The ECS agent names its endpoint in ``ECS_AGENT_URI``."""
        return cls(os.environ.get("ECS_AGENT_URI"), surplus)

    def rests(self) -> bool:
        """Whether the worker is to receive nothing for now."""
        return self._leaving or self._clock() < self._rests_until

    def update(self, *, busy: bool) -> None:
        """Protect, renew, leave or let go, as is due. ``busy``: it holds a task.

        Raises:
            OSError: the agent doesn't answer; to be called again.
        """
        if self._agent_uri is None:
            return
        now = self._clock()
        if busy:
            self._busy_at = now
        if self._leaving and not busy:
            self._leaving = False
            self._rests_until = now + REST.total_seconds()
            self._let_go()
        elif now - self._busy_at > IDLE.total_seconds():
            self._let_go()
        elif now >= self._due_at:
            self._look(now)

    def _look(self, now: float) -> None:
        self._leaving = (self._protected or self._leaving) and self._surplus()
        refusal = None if self._leaving else self._protect()
        if refusal is None:
            self._due_at = now + RENEWAL.total_seconds()
            return
        log.info("ECS does not protect this worker: %s", refusal)
        self._leaving = self._surplus()
        self._due_at = now + RETRY.total_seconds()

    def _protect(self) -> str | None:
        minutes = LIFETIME // timedelta(minutes=1)
        refusal = self._put({"ProtectionEnabled": True, "ExpiresInMinutes": minutes})
        self._protected = self._protected or refusal is None
        return refusal

    def _let_go(self) -> None:
        # In this order: what fails here is due again.
        self._busy_at = self._due_at = float("-inf")
        if self._protected:
            self._put({"ProtectionEnabled": False})
            self._protected = False

    def _put(self, body: dict[str, object]) -> str | None:
        """Why ECS refuses, if it does."""
        request = urllib.request.Request(  # noqa: S310 - the agent's own http address
            f"{self._agent_uri}/task-protection/v1/state",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
            method="PUT",
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT.total_seconds()):  # noqa: S310
                return None
        except HTTPError as error:
            if error.code != HTTPStatus.CONFLICT:
                raise
            return str(json.load(error)["failure"]["Reason"])
