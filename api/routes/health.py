"""/health: is the process up; /health/ready: can it reach what it stands on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from typing import Any, Literal

from botocore.exceptions import BotoCoreError, ClientError
from fastapi import APIRouter
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from api.engine import TheEngine
from api.problems import Problem, ProblemType, documented
from celeriac.services import client
from celeriac.settings import Settings
from tasks.contract import Queue

log = logging.getLogger(__name__)

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """Every service answers."""

    status: Literal["ok"] = "ok"
    checks: dict[str, Literal["ok", "failed"]]


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
async def ready(engine: TheEngine) -> Readiness:
    """Asks SQS, DynamoDB and S3 at once, for a few seconds at most. Needs no key."""
    probes: dict[str, Callable[[Settings], object]] = {
        "dynamodb": _ask_dynamodb,
        "s3": _ask_s3,
        "sqs": _ask_sqs,
    }
    answers = await asyncio.gather(
        *(run_in_threadpool(_check, name, probe, engine.settings) for name, probe in probes.items())
    )
    checks = dict(zip(probes, answers, strict=True))
    failed = [name for name, answer in checks.items() if answer == "failed"]
    if failed:
        raise Problem(
            ProblemType.UNAVAILABLE,
            f"Not ready: {', '.join(failed)} can't be used. The log says why.",
            retry_after=timedelta(seconds=5),
            checks=checks,
        )
    return Readiness(checks=checks)


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
        QueueUrl=settings.queue_url(Queue.DEFAULT), AttributeNames=["QueueArn"]
    )
