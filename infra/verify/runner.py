"""Runs the checks in their order, each to its end or its limit, and cleans up after each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import timedelta

from infra.verify.check import Check, NotHeld, NotShown
from infra.verify.deployment import Deployment
from infra.verify.report import Result, Verdict
from infra.verify.trial import Trial


def run(
    deployment: Deployment,
    checks: Iterable[Check],
    *,
    key: str,
    tell: Callable[[Result], object] = lambda _: None,
) -> list[Result]:
    """Run every check, whatever became of those before it."""
    results = []
    for each in checks:
        results.append(_try(deployment, each, key))
        tell(results[-1])
    return results


def _try(deployment: Deployment, check: Check, key: str) -> Result:
    if deployment.on_moto and check.only_aws:
        return Result(
            check=check, verdict=Verdict.NOT_SHOWN, evidence=check.only_aws, took=timedelta(0)
        )
    trial = Trial(deployment, key, check.limit)
    began = time.monotonic()
    try:
        verdict, evidence = Verdict.HELD, check.attempt(trial)
    except NotShown as reason:
        verdict, evidence = Verdict.NOT_SHOWN, str(reason)
    except NotHeld as reason:
        verdict, evidence = Verdict.NOT_HELD, str(reason)
    except Exception as error:  # noqa: BLE001 - whatever it is, the other checks are tried
        verdict, evidence = Verdict.NOT_HELD, f"{type(error).__name__}: {error}"
    finally:  # also when somebody interrupts the run
        took = timedelta(seconds=time.monotonic() - began)
        left = tuple(trial.clean_up())
    return Result(check=check, verdict=verdict, evidence=evidence, took=took, left_behind=left)
