"""CloudWatch: the counts that SQS and ECS publish, their delays, and alarms on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench.scaling.expressions import Point, evaluate
from celeriac.cdk.scaling import Count

#: An alarm looks back this much further if points are missing.
#: docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
_LOOKS_BACK = 2
#: SQS publishes nothing for a queue unused for six hours, and takes up to 15
#: minutes to begin again. docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/
#: sqs-monitoring-using-cloudwatch.html
_FORGOTTEN_MINUTES = 6 * 60
_REMEMBERED_MINUTES = 15


@dataclass(frozen=True, kw_only=True)
class Lag:
    """The delay, in minutes, until a count is visible.

    ``forgotten``: the queue was unused for hours when the load begins.
    """

    sqs: int = 1
    ecs: int = 1
    forgotten: bool = False


#: Each service publishes a minute's counts in the next.
USUAL = Lag()


@dataclass(frozen=True, kw_only=True)
class Counts:
    """The state at the end of a minute."""

    visible: int
    in_flight: int
    delayed: int
    running: int
    #: Of the high lane, which these loads don't use.
    high_visible: int = 0
    high_in_flight: int = 0
    high_delayed: int = 0

    @property
    def used(self) -> bool:
        """Whether the queue is in use: it has messages, or workers poll it."""
        return bool(self.visible or self.in_flight or self.delayed or self.running)


class Metrics:
    """The counts of one queue and its fleet. Minutes are counted from 0."""

    def __init__(self, lag: Lag) -> None:
        self._lag = lag
        self._counts: list[Counts] = []
        self._seen_from: list[int] = []  # the minute in which SQS's counts of a minute appear
        self._unused = _FORGOTTEN_MINUTES if lag.forgotten else 0
        self._silent_until = 0

    @property
    def now(self) -> int:
        """The minute that has just ended."""
        return len(self._counts) - 1

    @property
    def silent(self) -> bool:
        """Whether SQS hasn't yet resumed publishing counts of this queue."""
        return self.now < self._silent_until

    def publish(self, counts: Counts) -> None:
        """Add a minute."""
        minute = len(self._counts)
        if counts.used:
            if self._unused >= _FORGOTTEN_MINUTES:
                self._silent_until = minute + _REMEMBERED_MINUTES
            self._unused = 0
        else:
            self._unused += 1
        self._counts.append(counts)
        self._seen_from.append(max(minute + self._lag.sqs, self._silent_until))

    def point(self, count: Count, last: int, minutes: int) -> Point:
        """The visible point of a window of so many minutes.

        It is the maximum of SQS's counts, and the number of ECS's samples: the sum of its workers.
        """
        window = range(max(0, last - minutes + 1), last + 1)
        if count == "running":
            seen = [self._counts[each] for each in window if each + self._lag.ecs <= self.now]
            # Without workers there are no samples, and so no point.
            return sum(each.running for each in seen) or None
        return max(
            (getattr(self._counts[each], count) for each in window if self._visible(each)),
            default=None,
        )

    def _visible(self, minute: int) -> bool:
        return self._seen_from[minute] <= self.now


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A chain of expressions. The alarm watches the last one, in windows of ``minutes``."""

    counts: tuple[Count, ...]
    expressions: Mapping[str, str]
    minutes: int
    windows: int

    def recent(self, metrics: Metrics) -> list[float] | None:
        """The last ``windows`` points, the newest first; None if there aren't so many.

        The newest window ends now; each other one ends where the next begins.
        """
        found: list[float] = []
        for place in range(self.windows + _LOOKS_BACK):
            last = metrics.now - place * self.minutes
            if last < self.minutes - 1 or len(found) == self.windows:
                break
            points: dict[str, Point] = {
                count: metrics.point(count, last, self.minutes) for count in self.counts
            }
            for name, expression in self.expressions.items():
                points[name] = evaluate(expression, points)
            watched = points[name]
            if watched is not None:
                found.append(watched)
        return found if len(found) == self.windows else None
