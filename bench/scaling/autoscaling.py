"""Application Auto Scaling: the size of a fleet, by its policies.

docs.aws.amazon.com/autoscaling/application/userguide/step-scaling-policy-overview.html
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from bench.scaling.cloudwatch import Metrics, Watched
from celeriac.cdk.scaling import GROW, PERIOD, Scaling, Step, StepPolicy

#: Target tracking scales out after this many minutes above its target.
TRACKING_MINUTES = 3


class SteppedPolicy:
    """A policy of steps, and its alarm, which applies it each minute while it is on."""

    def __init__(self, plan: StepPolicy) -> None:
        self.plan = plan
        self._watched = Watched(
            counts=plan.counts,
            expressions=plan.expressions,
            minutes=int(plan.window / PERIOD),
            windows=plan.windows,
        )
        self._acted: int | None = None  # the minute
        self._added = 0

    def wanted(self, metrics: Metrics, desired: int) -> int | None:
        """The number of workers that it requests now, or None."""
        recent = self._watched.recent(metrics)
        threshold = self.plan.threshold
        if recent is None or not all(
            value < threshold if self.plan.below else value >= threshold for value in recent
        ):
            return None
        step = self.step(recent[0])
        cooling = (
            self._acted is not None and (metrics.now - self._acted) * PERIOD < self.plan.cooldown
        )
        if self.plan.adjustment == "ExactCapacity":
            size = step.adjustment
        else:
            # Workers added during the cooldown count: only the difference is added now.
            size = desired + step.adjustment - (self._added if cooling else 0)
        if size == desired or (cooling and size < desired):
            return None
        self._acted, self._added = metrics.now, size - desired
        return size

    def step(self, value: float) -> Step:
        """The only step for a value of the alarm.

        Raises:
            LookupError: there is none, or there are several.
        """
        far = value - self.plan.threshold
        found = [each for each in self.plan.steps if _holds(each, far)]
        if len(found) != 1:
            raise LookupError(f"{len(found)} steps of {self.plan.name} for {value}: one is needed.")
        return found[0]


def _holds(step: Step, far: float) -> bool:
    """Lower bounds belong to a step above the threshold, and upper ones below it."""
    lower = -math.inf if step.lower is None else step.lower
    upper = math.inf if step.upper is None else step.upper
    return lower <= far < upper if far >= 0 else lower < far <= upper


class Growth:
    """Target tracking that never scales in."""

    def __init__(self, plan: Scaling) -> None:
        self._target = plan.backlog_per_worker
        self._watched = Watched(
            counts=("visible", "high_visible", "running"),
            expressions={"backlog": GROW},
            minutes=1,
            windows=TRACKING_MINUTES,
        )

    def wanted(self, metrics: Metrics, desired: int) -> int | None:
        """Add workers in proportion to the backlog per worker above the target."""
        recent = self._watched.recent(metrics)
        if recent is None or min(recent) <= self._target:
            return None
        return max(desired, math.ceil(desired * recent[0] / self._target))


@dataclass(frozen=True)
class Decision:
    """The decision of the policies. ``by`` is the policy that set the size."""

    desired: int
    by: str


class AutoScaling:
    """The three policies of a fleet. If several request a size at once, the largest wins."""

    def __init__(self, plan: Scaling) -> None:
        self._most = plan.max_workers
        self._policies: dict[str, SteppedPolicy | Growth] = {
            "wake": SteppedPolicy(plan.wake),
            "grow": Growth(plan),
            "fit": SteppedPolicy(plan.fit),
        }

    def decide(self, metrics: Metrics, desired: int) -> Decision | None:
        """Decide once a minute: the new size, or None."""
        wanted = {name: each.wanted(metrics, desired) for name, each in self._policies.items()}
        asked = [(min(size, self._most), name) for name, size in wanted.items() if size is not None]
        if not asked:
            return None
        size, by = max(asked)
        return Decision(size, by) if size != desired else None
