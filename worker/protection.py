"""ECS scale-in protection: no busy worker is chosen when its service shrinks, or is deployed anew.

    idle ── has work: protect ──► protected ── has had none for a while: let go ──► idle
                  │ refused           │ some are to go
                  ▼                   ▼
              leaving: receives nothing ── all has ended: let go, rest ──► idle

Workers that share a queue's messages all have some, though fewer could do the work, and those of
an old deployment get theirs as long as they live: ECS would find nobody to stop. So a protected
worker looks from time to time whether some are to go, and then is one that may: it is stopped at
rest, or goes on.

ECS refuses to protect while more are protected than a service is to have. CloudFormation gives a
deployment three hours.
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

from worker.surplus import surplus

log = logging.getLogger(__name__)

#: An idle worker is let go after this long, so that gaps between tasks don't cost calls.
IDLE = timedelta(seconds=30)
#: A protected worker looks after this long whether some are to go, and asks anew if not.
RENEWAL = timedelta(minutes=5)
#: For how long a worker that has left waits to be stopped.
REST = timedelta(minutes=1)
#: What has begun when ECS refuses to renew stays protected to its end: SQS lets no message be held
#: for more than twelve hours.
LIFETIME = timedelta(hours=12) + RENEWAL
TIMEOUT = timedelta(seconds=2)

#: What the agent's refusals mean (aws/amazon-ecs-agent, handlers/agentapi/taskprotection): some
#: are to go, or this one is going. Another says that no service manages this task.
LEAVE = ("DEPLOYMENT_BLOCKED", "TASK_STOPPING_OR_STOPPED")


class Protection:
    """Protects this ECS task while it is busy. Does nothing outside ECS.

    ``agent_uri`` is where the agent listens; ``surplus`` looks whether some workers are to go.
    """

    def __init__(
        self,
        agent_uri: str | None,
        surplus: Callable[[], bool] = surplus,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._agent_uri = agent_uri
        self._surplus = surplus
        self._clock = clock
        self._busy_at = float("-inf")
        self._protected = False
        self._asked_at = float("-inf")
        self._leaving = False
        self._rests_until = float("-inf")

    @classmethod
    def from_environment(cls) -> Protection:
        """The ECS agent names its endpoint in ``ECS_AGENT_URI``."""
        return cls(os.environ.get("ECS_AGENT_URI"))

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
        if self._leaving:
            if not busy:
                self._let_go()
                self._leaving = False
                self._rests_until = now + REST.total_seconds()
        elif now - self._busy_at > IDLE.total_seconds():
            self._let_go()
        elif now - self._asked_at >= RENEWAL.total_seconds():
            if self._protected and self._surplus():
                self._leaving = True
            else:
                self._protect(now)

    def _protect(self, now: float) -> None:
        minutes = LIFETIME // timedelta(minutes=1)
        refusal = self._put({"ProtectionEnabled": True, "ExpiresInMinutes": minutes})
        self._asked_at = now
        if refusal is None:
            self._protected = True
            return
        log.info("ECS does not protect this worker: %s", refusal)
        self._leaving = refusal in LEAVE

    def _let_go(self) -> None:
        if self._protected:
            self._put({"ProtectionEnabled": False})
        self._protected = False
        self._asked_at = self._busy_at = float("-inf")

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
