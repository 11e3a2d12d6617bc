"""The running code emits exactly the metrics that dashboard and alarms read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from celeriac import clock, states
from celeriac.app import telemetry
from celeriac.metrics import METRICS, NAMESPACE, task_dimensions
from celeriac.records import TaskRecord
from celeriac.settings import settings
from celeriac.storage import services

RECORD = TaskRecord(
    task_id="01890000-0000-7000-8000-000000000000",
    type="process-file",
    tenant="acme",
    queue="files",
    created_at=1_000,
    expires_at=2_000,
    input="={}",
    started_at=clock.now() - 1_500,
)


def in_state(state: str) -> TaskRecord:
    from dataclasses import replace

    return replace(RECORD, state=state)


MOMENTS: dict[str, Callable[[], None]] = {
    "submitted": lambda: telemetry.submitted(RECORD),
    "started": lambda: telemetry.started(RECORD, clock.now() - 250),
    "retried": lambda: telemetry.retried(in_state(states.RETRY)),
    "succeeded": lambda: telemetry.ended(in_state(states.SUCCESS)),
    "failed": lambda: telemetry.ended(in_state(states.FAILURE)),
    "revoked": lambda: telemetry.ended(in_state(states.REVOKED)),
}


@pytest.fixture
def deployed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CELERIAC_ENVIRONMENT", "staging")
    monkeypatch.setenv("CELERIAC_MAIL_FROM", "null")
    services.reset()
    yield
    services.reset()


@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize("moment", MOMENTS)
def test_each_moment_is_one_line_with_the_catalogued_dimensions(
    moment: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """A moment of a task's life is one log line, in the namespace and with all dimensions."""
    MOMENTS[moment]()

    [line] = capfd.readouterr().out.splitlines()
    emitted = json.loads(line)
    [directive] = emitted["_aws"]["CloudWatchMetrics"]
    expected = task_dimensions(environment="staging", queue="files", task_type="process-file")
    assert directive["Namespace"] == NAMESPACE
    assert [set(names) for names in directive["Dimensions"]] == [set(expected)]
    assert expected.items() <= emitted.items()


@pytest.mark.usefixtures("deployed")
def test_every_metric_is_emitted_with_its_unit(capfd: pytest.CaptureFixture[str]) -> None:
    """What the catalogue of metrics names is what a task's life emits: no more, no less."""
    for moment in MOMENTS.values():
        moment()

    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    emitted = {
        (metric["Name"], metric["Unit"])
        for line in lines
        for metric in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]
    }
    assert emitted == {(metric.name, metric.unit) for metric in METRICS}


@pytest.mark.usefixtures("deployed")
def test_a_retry_of_a_cancelled_task_is_its_end(capfd: pytest.CaptureFixture[str]) -> None:
    """An attempt that fails after the cancellation isn't tried again, nor counted as if it were."""
    telemetry.retried(in_state(states.REVOKED))

    emitted = json.loads(capfd.readouterr().out)
    assert "TaskRevoked" in emitted
    assert "TaskRetried" not in emitted


@pytest.mark.usefixtures("deployed")
def test_times_are_in_milliseconds(capfd: pytest.CaptureFixture[str]) -> None:
    """An attempt that could have begun 250 ms ago has waited for so long."""
    MOMENTS["started"]()

    [waited] = json.loads(capfd.readouterr().out)["QueueWait"]
    assert 250 <= waited < 5_000


def test_a_laptop_emits_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """Where nobody reads metrics, the log holds none."""
    assert not settings().deployed

    for moment in MOMENTS.values():
        moment()

    assert capfd.readouterr().out == ""
