"""ECS scale-in protection: ECS stops no busy worker when its service shrinks or is redeployed.

    idle ── has work: protect ──► protected ── idle for a while: unprotect ──► idle
                                    │     ▲
                         surplus    ▼     │ no longer surplus
                                  leaving: receives nothing ── finished: unprotect, rest ──► idle

SQS spreads messages over every poller. So each worker of an oversized or outdated fleet stays busy
and protected, and ECS would find no worker to stop. For this reason, a protected worker checks from
time to time whether it is surplus. A surplus worker finishes its tasks and rests, so that ECS can
stop it. CloudFormation gives a deployment three hours.

ECS refuses to protect a worker while a service has enough protected ones: during a deployment that
holds for its new workers. One that is refused keeps working unprotected.
docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection.html
"""

from __future__ import annotations

import json
import logging
import os
import urllib.request
from collections.abc import Callable
from datetime import timedelta
from time import monotonic

from botocore.exceptions import BotoCoreError, ClientError
from celery import current_app

from celeriac.storage.services import services

log = logging.getLogger(__name__)

#: An idle worker is unprotected after this long, so that gaps between tasks don't cost calls.
IDLE = timedelta(seconds=30)
#: A protected worker checks this often whether it is surplus, and renews if not.
RENEWAL = timedelta(minutes=5)
#: One that was refused asks again after this long.
RETRY = timedelta(minutes=1)
#: A surplus worker that has finished idles this long, so that ECS can stop it.
REST = timedelta(minutes=1)
#: What has begun when ECS refuses to renew stays protected to its end: SQS lets no message be held
#: for more than twelve hours.
LIFETIME = timedelta(hours=12) + RENEWAL
TIMEOUT = timedelta(seconds=2)


class Protection:
    """Protects this ECS task while it is busy. Does nothing outside ECS.

    ``agent_uri`` is where the agent listens; ``surplus`` tells whether this worker is surplus.
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
        """Whether the worker receives nothing for now."""
        return self._leaving or self._clock() < self._rests_until

    def update(self, *, busy: bool) -> None:
        """Protect, renew, leave or unprotect, whichever is due. ``busy``: the worker holds a task.

        Raises:
            OSError: the agent doesn't answer, or ECS keeps an idle worker protected; call again.
        """
        if self._agent_uri is None:
            return
        now = self._clock()
        if busy:
            self._busy_at = now
        if self._leaving and not busy:
            self._leaving = False
            self._rests_until = now + REST.total_seconds()
            self._unprotect()
        elif now - self._busy_at > IDLE.total_seconds():
            self._unprotect()
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

    def _unprotect(self) -> None:
        # In this order: what fails here is due again.
        self._busy_at = self._due_at = float("-inf")
        if self._protected:
            if (refusal := self._put({"ProtectionEnabled": False})) is not None:
                raise OSError(f"ECS keeps this worker protected: {refusal}")
            self._protected = False

    def _put(self, body: dict[str, object]) -> str | None:
        """Why ECS refuses, if it does."""
        request = urllib.request.Request(  # noqa: S310 - the agent's own http address
            f"{self._agent_uri}/task-protection/v1/state",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
            method="PUT",
        )
        with urllib.request.urlopen(request, timeout=TIMEOUT.total_seconds()) as answer:  # noqa: S310
            return _refusal(answer.read())


def _refusal(answer: bytes) -> str | None:
    """Why ECS refuses, by the body of a 200: a refusal has no status of its own.

    Raises:
        OSError: the answer isn't the agent's, or names an error.
    """
    # github.com/aws/amazon-ecs-agent: ecs-agent/tmds/handlers/taskprotection/v1/handlers
    try:
        found = json.loads(answer)
    except ValueError:
        found = None
    match found:
        case {"failure": {**failure}}:
            return str(failure.get("Reason") or failure)
        case {"protection": {}}:
            return None
    raise OSError(f"ECS's agent answered 200 with {answer[:500]!r}")


def surplus(worker_id: str) -> bool:
    """Whether this worker is one of the surplus ones of its ECS service.

    If a service has more workers than it should, the oldest are surplus. Every worker computes the
    same list, so exactly the surplus leaves. During a deployment the old workers are surplus once
    new ones have started. A fault of ECS is logged, and no worker is surplus.
    """
    cluster = services().settings.cluster_name
    if cluster is None:
        return False
    queues = sorted(current_app.amqp.queues.consume_from)
    try:
        found = services().ecs.describe_services(cluster=cluster, services=queues)["services"]
        return any(
            worker_id in _surplus_ids(each["serviceName"], each["desiredCount"])
            for each in found
            if each["runningCount"] > each["desiredCount"]
        )
    except (ClientError, BotoCoreError) as error:
        log.warning("ECS doesn't say which workers are surplus: %s", error)
        return False


def _surplus_ids(queue: str, desired: int) -> list[str]:
    """The oldest workers of a queue beyond the desired number. Workers that end don't count."""
    alive = [
        each for each in services().workers.list() if queue in each.queues and not each.stopping
    ]
    alive.sort(key=lambda each: (each.started_at, each.id))
    return [each.id for each in alive[: max(0, len(alive) - desired)]]
