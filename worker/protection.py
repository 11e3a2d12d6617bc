"""ECS scale-in protection: a busy worker is not chosen when the service shrinks.

docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection-endpoint.html
"""

from __future__ import annotations

import json
import logging
import os
import urllib.request
from collections.abc import Callable
from datetime import timedelta
from time import monotonic

log = logging.getLogger(__name__)

#: For how long ECS is asked to protect; asked again at half of it.
LIFETIME = timedelta(minutes=10)
#: An idle worker is let go after this long, so that gaps between tasks don't cost calls.
IDLE = timedelta(seconds=30)
TIMEOUT = timedelta(seconds=2)


class Protection:
    """Protects this ECS task while it is busy. Does nothing outside ECS."""

    def __init__(self, agent_uri: str | None, clock: Callable[[], float] = monotonic) -> None:
        self._agent_uri = agent_uri
        self._clock = clock
        self._protected_at: float | None = None
        self._busy_at = float("-inf")

    @classmethod
    def from_environment(cls) -> Protection:
        """The ECS agent names its endpoint in ``ECS_AGENT_URI``."""
        return cls(os.environ.get("ECS_AGENT_URI"))

    def update(self, *, busy: bool) -> None:
        """Protect, renew or let go, as is due.

        Raises:
            OSError: the agent doesn't answer, or refuses.
        """
        if self._agent_uri is None:
            return
        now = self._clock()
        if busy:
            self._busy_at = now
        if now - self._busy_at <= IDLE.total_seconds():
            half = LIFETIME.total_seconds() / 2
            if self._protected_at is None or now - self._protected_at >= half:
                minutes = LIFETIME // timedelta(minutes=1)
                self._put({"ProtectionEnabled": True, "ExpiresInMinutes": minutes})
                self._protected_at = now
        elif self._protected_at is not None:
            self._put({"ProtectionEnabled": False})
            self._protected_at = None

    def _put(self, body: dict[str, object]) -> None:
        request = urllib.request.Request(  # noqa: S310 - the agent's own http address
            f"{self._agent_uri}/task-protection/v1/state",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
            method="PUT",
        )
        with urllib.request.urlopen(request, timeout=TIMEOUT.total_seconds()) as answer:  # noqa: S310
            found = json.load(answer)
        if "failure" in found:
            log.warning("ECS does not protect this task: %s", found["failure"].get("Reason"))
