"""/health tells whether the process is up, and /health/ready whether it can reach AWS."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from time import monotonic
from typing import Any, Literal
from weakref import WeakKeyDictionary

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from celeriac.aws import client
from celeriac.contract import DEFAULT
from celeriac.http.dependencies import TheDependencies
from celeriac.http.problems import Problem, ProblemType, documented
from celeriac.http.route import open_router
from celeriac.settings import Settings

log = logging.getLogger(__name__)

#: Anyone may ask, so AWS is asked once in this time, however many do.
KEPT = timedelta(seconds=5)

Checks = dict[str, Literal["ok", "failed"]]

router = open_router("health")


class Health(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """Every service answers."""

    status: Literal["ok"] = "ok"
    checks: Checks


@router.get("/health", operation_id="get-health", summary="Is the API up")
async def health() -> Health:
    """Answers as long as the process does. Needs no key."""
    return Health()


@router.get(
    "/health/ready",
    operation_id="get-readiness",
    summary="Can the API reach AWS",
    responses=documented(ProblemType.UNAVAILABLE),
)
async def ready(dependencies: TheDependencies) -> Readiness:
    """Whether SQS, DynamoDB and S3 answer now or did seconds ago. Needs no key."""
    checks = await _checks(dependencies.settings)
    failed = [name for name, answer in checks.items() if answer == "failed"]
    if failed:
        raise Problem(
            ProblemType.UNAVAILABLE,
            f"Not ready: {', '.join(failed)} can't be used. The log says why.",
            retry_after=KEPT,
            checks=checks,
        )
    return Readiness(checks=checks)


# What the services last answered, and when, by what was asked for.
_answers: dict[tuple[str, ...], tuple[float, Checks]] = {}
_locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


async def _checks(settings: Settings) -> Checks:
    """What the services answer, or did less than ``KEPT`` ago.

    Requests that come while they are being asked wait for that answer.
    """
    asked = (settings.table_name, settings.bucket_name, settings.queue_url(DEFAULT))
    async with _locks.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
        answered_at, checks = _answers.get(asked, (0.0, Checks()))
        if not checks or monotonic() - answered_at >= KEPT.total_seconds():
            checks = await _ask(settings)
            _answers[asked] = (monotonic(), checks)
        return checks


async def _ask(settings: Settings) -> Checks:
    """Ask all services at once, for a few seconds at most."""
    probes: dict[str, Callable[[Settings], object]] = {
        "dynamodb": _ask_dynamodb,
        "s3": _ask_s3,
        "sqs": _ask_sqs,
    }
    answers = await asyncio.gather(
        *(run_in_threadpool(_check, name, probe, settings) for name, probe in probes.items())
    )
    return dict(zip(probes, answers, strict=True))


def forget() -> None:
    """Drop the clients and what the services have answered. For tests."""
    probe_client.cache_clear()
    _answers.clear()


def _check(
    name: str, probe: Callable[[Settings], object], settings: Settings
) -> Literal["ok", "failed"]:
    try:
        probe(settings)
    except (BotoCoreError, ClientError) as error:
        log.warning("%s is not ready: %s", name, error)
        return "failed"
    return "ok"


@cache
def probe_client(service: str) -> Any:
    """A client for one question: somebody waits for the answer, so one try, and not for long."""
    return client(service, connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 1})


def _ask_dynamodb(settings: Settings) -> object:
    key = {"pk": {"S": "health"}, "sk": {"S": "health"}}
    return probe_client("dynamodb").get_item(TableName=settings.table_name, Key=key)


def _ask_s3(settings: Settings) -> object:
    return probe_client("s3").head_bucket(Bucket=settings.bucket_name)


def _ask_sqs(settings: Settings) -> object:
    return probe_client("sqs").get_queue_attributes(
        QueueUrl=settings.queue_url(DEFAULT), AttributeNames=["QueueArn"]
    )
