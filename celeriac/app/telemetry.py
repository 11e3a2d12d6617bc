"""Emits the metrics of ``celeriac.metrics``, as CloudWatch's embedded metric format in the logs.

Only a deployment reads them. Locally they would be noise between the log lines.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping

from celeriac import clock, states
from celeriac.metrics import (
    NAMESPACE,
    QUEUE_WAIT,
    RUN_TIME,
    TASK_FAILED,
    TASK_RETRIED,
    TASK_REVOKED,
    TASK_SUBMITTED,
    TASK_SUCCEEDED,
    Metric,
    task_dimensions,
)
from celeriac.records import TaskRecord
from celeriac.storage.services import services

_ENDED = {
    states.SUCCESS: TASK_SUCCEEDED,
    states.FAILURE: TASK_FAILED,
    states.REVOKED: TASK_REVOKED,
}


def submitted(record: TaskRecord) -> None:
    """A task was accepted."""
    _emit(record, {TASK_SUBMITTED: 1})


def started(record: TaskRecord, due_at: clock.Millis) -> None:
    """An attempt has begun that could have begun at ``due_at``."""
    _emit(record, {QUEUE_WAIT: max(0, clock.now() - due_at)})


def retried(record: TaskRecord) -> None:
    """An attempt has failed and another will follow, unless the task was cancelled meanwhile."""
    if record.terminal:
        ended(record)
    else:
        _emit(record, {TASK_RETRIED: 1, **_run_time(record)})


def ended(record: TaskRecord) -> None:
    """A task has ended."""
    _emit(record, {_ENDED[record.state]: 1, **_run_time(record)})


def _run_time(record: TaskRecord) -> dict[Metric, float]:
    if record.started_at is None:
        return {}
    return {RUN_TIME: max(0, clock.now() - record.started_at)}


def _emit(record: TaskRecord, values: Mapping[Metric, float]) -> None:
    settings = services().settings
    if not settings.deployed:
        return
    # Some 50 ms to import: not where nothing is emitted.
    from aws_lambda_powertools.metrics import EphemeralMetrics

    metrics = EphemeralMetrics(namespace=NAMESPACE)
    dimensions = task_dimensions(
        environment=settings.environment, queue=record.queue, task_type=record.type
    )
    for name, value in dimensions.items():
        metrics.add_dimension(name=name, value=value)
    for metric, amount in values.items():
        metrics.add_metric(name=metric.name, unit=metric.unit, value=amount)
    line = json.dumps(metrics.serialize_metric_set(), separators=(",", ":")) + "\n"
    # Powertools prints, which writes the line and its end apart where output isn't buffered, and in
    # blocks where it is. All processes and threads of a worker share one pipe: other lines would
    # get in between. A pipe takes a single write of up to PIPE_BUF bytes (4 KiB) as a whole.
    os.write(sys.stdout.fileno(), line.encode())
