"""The API's function, its keys, and how long it takes."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from http import HTTPStatus
from statistics import median
from typing import Any

from infra.verify.check import NotHeld, NotShown, check
from infra.verify.checks.tasks import SHORT
from infra.verify.keys import make_key, revoke
from infra.verify.trial import Trial

_REQUESTS = 20
#: More at once than there are warm environments. A new account may run ten at a time.
_AT_ONCE = 8
#: A warm answer that takes longer has a cause besides distance.
_SLOW = timedelta(seconds=2)
#: A cold start that callers of a web page would still wait for.
_SLOW_START = timedelta(seconds=4)
_INIT = re.compile(r"Init Duration: ([\d.]+) ms")


@check(
    "ready",
    claims="The API's role lets it reach SQS, DynamoDB and S3.",
    proves="runbook.md#api-5xx",
)
def ready(trial: Trial) -> str:
    checks = trial.ask("GET", "/health/ready").json()["checks"]
    if set(checks.values()) != {"ok"}:
        raise NotHeld(str(checks))
    return ", ".join(sorted(checks))


@check(
    "outputs",
    claims="The deployment's outputs are the settings that the function runs with.",
    proves="deploying.md#the-first-deployment",
)
def outputs(trial: Trial) -> str:
    deployment = trial.deployment
    name = f"{deployment.environment.prefix}-api"
    function = deployment.client("lambda").get_function_configuration(FunctionName=name)
    runs_with = function["Environment"]["Variables"]
    told = {
        name: value for name, value in deployment.variables.items() if name.startswith("CELERIAC_")
    }
    differ = sorted(name for name in told if runs_with.get(name) != told[name])
    if differ:
        raise NotHeld(f"the function has other values of {', '.join(differ)}")
    return f"{len(told)} settings are the same"


@check(
    "revoked-key",
    claims="A request without a key is a 401, and so is one with a revoked key.",
    proves="api.md#keys",
)
def revoked_key(trial: Trial) -> str:
    if trial.deployment.environment.jwt:
        raise NotShown("The deployment takes tokens, and no keys.")
    trial.ask("GET", "/tasks", key="", expect=HTTPStatus.UNAUTHORIZED)
    # Nobody has used it: a process of the API trusts one that it knows for a while.
    key = make_key(trial.deployment, scope="read")
    revoke(trial.deployment, key)
    trial.ask("GET", "/tasks", key=key.secret, expect=HTTPStatus.UNAUTHORIZED)
    return "401 for both"


@check(
    "warm-latency",
    claims=f"A warm function answers GET /health, and a submission, within {_SLOW.seconds} s.",
    proves="benchmarks.md",
)
def warm_latency(trial: Trial) -> str:
    health = _milliseconds(lambda: trial.ask("GET", "/health"))
    submit = _milliseconds(lambda: trial.submit("long-running", SHORT, query="delay=1"))
    evidence = f"/health {_shown(health)}; submission {_shown(submit)}"
    if max(median(health), median(submit)) > _SLOW / timedelta(milliseconds=1):
        raise NotHeld(evidence)
    return evidence


@check(
    "cold-start",
    claims=f"A cold start of the function takes less than {_SLOW_START.seconds} s.",
    proves="options.md",
    only_aws="No Lambda starts the function here.",
)
def cold_start(trial: Trial) -> str:
    deployment = trial.deployment
    burst = _burst(trial)
    since = int((time.time() - timedelta(days=1).total_seconds()) * 1000)

    def initialized() -> list[float]:
        # docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-view.html: the REPORT line
        # of an environment's first request has its Init Duration.
        pages = (
            deployment.client("logs")
            .get_paginator("filter_log_events")
            .paginate(
                logGroupName=deployment.environment.log_group("api"),
                filterPattern='REPORT "Init Duration"',
                startTime=since,
            )
        )
        return [
            float(found[1])
            for page in pages
            for event in page["events"]
            if (found := _INIT.search(event["message"]))
        ]

    starts = trial.until(initialized, "cold start in the function's log", every=5)
    evidence = f"{len(starts)} in a day: {_shown(starts)}. {burst}"
    if max(starts) > _SLOW_START / timedelta(milliseconds=1):
        raise NotHeld(evidence)
    return evidence


def _burst(trial: Trial) -> str:
    """Ask for more at once than there are warm environments, as their callers see it."""
    requests: dict[str, Callable[[], Any]] = {
        "/health": lambda: trial.ask("GET", "/health"),
        "a submission": lambda: trial.submit("long-running", SHORT, query="delay=1"),
    }
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        longest = {
            name: max(pool.map(_took, [request] * _AT_ONCE)) for name, request in requests.items()
        }
    slowest = ", ".join(f"{name} {took:.0f} ms" for name, took in longest.items())
    return f"Of {_AT_ONCE} at once, the slowest: {slowest}"


def _milliseconds(request: Callable[[], Any]) -> list[float]:
    return [_took(request) for _ in range(_REQUESTS)]


def _took(request: Callable[[], Any]) -> float:
    began = time.monotonic()
    request()
    return 1000 * (time.monotonic() - began)


def _shown(milliseconds: list[float]) -> str:
    return f"median {median(milliseconds):.0f} ms, longest {max(milliseconds):.0f} ms"


@check(
    "web-pages",
    claims="A web page of a named origin may read what the API refuses, and no other page may.",
    proves="api.md#from-a-web-page",
    only_aws="API Gateway adds these headers, and none is here.",
)
def web_pages(trial: Trial) -> str:
    origins = trial.deployment.environment.web_origins
    if not origins:
        raise NotShown("The deployment names no web page: it has no `web_origins`.")
    for origin, allowed in ((origins[0], origins[0]), ("https://other.example", None)):
        # With tokens, it is API Gateway that refuses this.
        refused = trial.ask(
            "GET", "/tasks", key="", headers={"Origin": origin}, expect=HTTPStatus.UNAUTHORIZED
        )
        found = refused.headers.get("access-control-allow-origin")
        if found != allowed:
            raise NotHeld(f"a page of {origin} is told {found}, not {allowed}")
    return f"a page of {origins[0]} can read a 401"


CHECKS = (ready, outputs, revoked_key, warm_latency, cold_start, web_pages)
