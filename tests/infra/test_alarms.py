"""The alarms: what each one watches, when it goes off, and what it leads to."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from celeriac.cdk import Environment, GitHub, Mail
from celeriac.cdk.scaling import NO_WORKER
from celeriac.contract import Queue, catalogue
from celeriac.metrics import NAMESPACE, task_dimensions
from celeriac.settings import LONGEST_WAIT
from celeriac.topology import TABLE
from infra.cdk.environments import DEV
from tests.architecture.pages import anchors
from tests.infra.conftest import ROOT, SAMPLE, Synthesize, Synthesized
from tests.infra.readings import ALARM, ONLY, Reading, Watched, watched

QUEUES = catalogue().queues


RUNBOOK = ROOT / "docs" / "runbook.md"

# Messages that wait for a whole minute in which none is taken.
NOT_TAKEN = (
    "IF(FILL(visible, 0) + FILL(high_visible, 0) > 0 "
    "AND FILL(received, 0) + FILL(high_received, 0) == 0, 1, 0)"
)


def sqs(queue_name: str, metric: str, statistic: str = "Maximum") -> Reading:
    return Reading("AWS/SQS", metric, {"QueueName": queue_name}, statistic, seconds=60)


def functions(name: str, statistic: str, expression: str) -> Watched:
    """A metric of the API's two functions."""
    return Watched(
        {
            each: Reading(
                "AWS/Lambda",
                name,
                {"FunctionName": f"celeriac-dev-{each}"},
                statistic,
                seconds=300,
            )
            for each in ("api", "follow")
        },
        expression,
    )


def table(metric: str, **index: str) -> Reading:
    dimensions = {"TableName": "celeriac-dev", **index}
    return Reading("AWS/DynamoDB", metric, dimensions, "Sum", seconds=300)


def schedules(metric: str) -> Reading:
    dimensions = {"ScheduleGroup": "celeriac-dev"}
    return Reading("AWS/Scheduler", metric, dimensions, "Sum", seconds=300)


def firing(metric: str) -> Reading:
    dimensions = {"FunctionName": "celeriac-dev-fire"}
    return Reading("AWS/Lambda", metric, dimensions, "Sum", seconds=300)


def tasks(name: str, metric: str, statistic: str, unit: str) -> Reading:
    """A metric of ours, of the tasks of one type."""
    dimensions = task_dimensions(environment="dev", queue=SAMPLE[name].queue.name, task_type=name)
    return Reading(NAMESPACE, metric, dimensions, statistic, unit, seconds=300)


# Each alarm of the system as a whole: the value at which it goes off, and of what.
SYSTEM_ALARMS = {
    "api-errors": (1, functions("Errors", "Sum", "FILL(api, 0) + FILL(follow, 0)")),
    "api-throttles": (1, functions("Throttles", "Sum", "FILL(api, 0) + FILL(follow, 0)")),
    "api-slow": (27_000, functions("Duration", "p99", "MAX([FILL(api, 0), FILL(follow, 0)])")),
    "api-5xx": (
        5,
        Watched(
            {ONLY: Reading("AWS/ApiGateway", "5xx", {"ApiId": "celeriac-dev"}, "Sum", seconds=300)}
        ),
    ),
    "table-throttles": (
        1,
        Watched(
            {
                "read0": table("ReadThrottleEvents"),
                "write0": table("WriteThrottleEvents"),
                "read1": table("ReadThrottleEvents", GlobalSecondaryIndexName="listing"),
                "write1": table("WriteThrottleEvents", GlobalSecondaryIndexName="listing"),
                "read2": table("ReadThrottleEvents", GlobalSecondaryIndexName="failures"),
                "write2": table("WriteThrottleEvents", GlobalSecondaryIndexName="failures"),
                "read3": table("ReadThrottleEvents", GlobalSecondaryIndexName="unfinished"),
                "write3": table("WriteThrottleEvents", GlobalSecondaryIndexName="unfinished"),
            },
            "FILL(read0, 0) + FILL(write0, 0) + FILL(read1, 0) + FILL(write1, 0)"
            " + FILL(read2, 0) + FILL(write2, 0) + FILL(read3, 0) + FILL(write3, 0)",
        ),
    ),
    "schedule-failures": (
        1,
        Watched(
            {
                "errors": schedules("TargetErrorCount"),
                "dropped": schedules("InvocationDroppedCount"),
                "throttled": schedules("InvocationThrottleCount"),
                "lost": schedules("InvocationsFailedToBeSentToDeadLetterCount"),
                "raised": firing("Errors"),
                "refused": firing("Throttles"),
                "expired": firing("AsyncEventsDropped"),
                "forgotten": firing("DestinationDeliveryFailures"),
            },
            "FILL(errors, 0) + FILL(dropped, 0) + FILL(throttled, 0) + FILL(lost, 0)"
            " + FILL(raised, 0) + FILL(refused, 0) + FILL(expired, 0) + FILL(forgotten, 0)",
        ),
    ),
    "schedules-dead-letter": (
        1,
        Watched(
            {ONLY: sqs("celeriac-dev-schedules-dead-letter", "ApproximateNumberOfMessagesVisible")}
        ),
    ),
}


def chapter(anchor: str) -> str:
    """What the runbook says of an alarm, in one line."""
    return " ".join(
        RUNBOOK.read_text().partition(f"## {anchor}\n")[2].partition("\n## ")[0].split()
    )


def alarm(synthesized: Synthesized, name: str) -> dict[str, Any]:
    prefix = synthesized.environment.prefix
    return synthesized.one("ops", ALARM, AlarmName=f"{prefix}-{name}")


def seen(synthesized: Synthesized, name: str) -> Watched:
    return watched(synthesized, "ops", alarm(synthesized, name))


@pytest.mark.parametrize("queue", QUEUES, ids=lambda each: each.name)
def test_each_queue_is_watched(dev: Synthesized, queue: Queue) -> None:
    """Work that isn't received, dead letters, and work without a worker each have an alarm.

    Each reads its own queue, or its own queue's dead letters, and the samples of its own service.
    """
    name = queue.name
    lanes = {"": f"celeriac-dev-{name}", "high_": f"celeriac-dev-{name}-high"}
    waiting = {
        f"{lane}visible": sqs(queue_name, "ApproximateNumberOfMessagesVisible")
        for lane, queue_name in lanes.items()
    }
    taken = {
        f"{lane}received": sqs(queue_name, "NumberOfMessagesReceived", "Sum")
        for lane, queue_name in lanes.items()
    }
    running = Reading(
        "AWS/ECS",
        "CPUUtilization",
        {"ClusterName": "celeriac-dev", "ServiceName": name},
        "SampleCount",
        seconds=60,
    )
    dead = sqs(f"celeriac-dev-{name}-dead-letter", "ApproximateNumberOfMessagesVisible")

    expected = {
        "oldest-age": (5, Watched(waiting | taken, NOT_TAKEN)),
        "dead-letter": (1, Watched({ONLY: dead})),
        "no-worker": (5, Watched({**waiting, "running": running}, NO_WORKER)),
    }
    for kind, (windows, watched_there) in expected.items():
        properties = alarm(dev, f"{name}-{kind}")
        assert (properties["Threshold"], properties["EvaluationPeriods"]) == (1, windows)
        assert seen(dev, f"{name}-{kind}") == watched_there


def test_nothing_taken_for_as_long_as_a_task_may_wait_is_an_alarm(synthesize: Synthesize) -> None:
    """A message that stays and isn't received has waited for so long.

    How old the oldest message is says nothing: that of a task that runs for an hour is an hour old.
    """
    quarter = synthesize(replace(DEV, oldest_age=timedelta(minutes=15)))
    windows = alarm(quarter, "files-oldest-age")["EvaluationPeriods"]

    assert {each.seconds for each in seen(quarter, "files-oldest-age").readings.values()} == {60}
    assert windows * timedelta(seconds=60) == quarter.environment.oldest_age


def test_a_task_that_begins_too_late_is_an_alarm(dev: Synthesized) -> None:
    """The longest wait that a type's workers have measured, against what the environment allows."""
    for name in SAMPLE:
        longest = tasks(name, "QueueWait", "Maximum", "Milliseconds")
        assert seen(dev, f"{name}-late") == Watched({ONLY: longest})
        threshold = alarm(dev, f"{name}-late")["Threshold"]
        assert threshold == dev.environment.oldest_age / timedelta(milliseconds=1)


def test_each_task_type_has_its_failure_rate_watched(dev: Synthesized) -> None:
    """One task in ten, of five or more, of the type's own counts: a count that isn't there is 0."""
    for name in SAMPLE:
        rate = seen(dev, f"{name}-failure-rate")
        assert rate.readings == {
            "failed": tasks(name, "TaskFailed", "Sum", "Count"),
            "succeeded": tasks(name, "TaskSucceeded", "Sum", "Count"),
        }
        assert rate.expression == (
            "IF(FILL(failed, 0) + FILL(succeeded, 0) >= 5,"
            " 100 * FILL(failed, 0) / (FILL(failed, 0) + FILL(succeeded, 0)), 0)"
        )
        assert alarm(dev, f"{name}-failure-rate")["Threshold"] == 10


def test_the_system_is_watched(dev: Synthesized) -> None:
    """The API, the table with its indexes and the schedules each have an alarm of what is theirs.

    What could be sent to no queue at all is counted with what failed and what was given up.
    """
    found = {name: (alarm(dev, name)["Threshold"], seen(dev, name)) for name in SYSTEM_ALARMS}

    assert found == SYSTEM_ALARMS
    assert [index.name for index in TABLE.indexes] == ["listing", "failures", "unfinished"]


def test_a_slow_api_is_slower_than_a_long_poll(dev: Synthesized) -> None:
    """A poll that waits its longest is no alarm; one that Lambda is about to end is."""
    slow = alarm(dev, "api-slow")["Threshold"] / 1000
    function = dev.function

    assert LONGEST_WAIT.total_seconds() < slow < function["Timeout"]
    assert f"{LONGEST_WAIT.seconds} s" in alarm(dev, "api-slow")["AlarmDescription"]
    assert f"{LONGEST_WAIT.seconds} seconds" in chapter("api-slow")
    assert f"{LONGEST_WAIT.seconds} seconds" in chapter("api-throttles")


@pytest.mark.parametrize(
    ("environment", "page"),
    [
        (DEV, "docs/runbook.md"),
        (
            replace(DEV, github=GitHub(repository="celeriac/celeriac", create_provider=True)),
            "https://github.com/celeriac/celeriac/blob/main/docs/runbook.md",
        ),
        (
            replace(
                DEV,
                runbook="https://wiki.celeriac.dev/runbook",
                github=GitHub(repository="celeriac/celeriac", create_provider=True),
            ),
            "https://wiki.celeriac.dev/runbook",
        ),
    ],
    ids=["nowhere", "repository", "configured"],
)
def test_every_alarm_links_its_chapter(
    synthesize: Synthesize, environment: Environment, page: str
) -> None:
    """The mail leads to the heading named as the alarm ends; every heading has an alarm."""
    linked = set()
    mailing = replace(environment, mail=Mail(sender="tasks@celeriac.dev"))
    for each in synthesize(mailing).properties("ops", ALARM):
        link, _, anchor = each["AlarmDescription"].rpartition(" ")[2].partition("#")
        assert link == page
        assert each["AlarmName"].endswith(f"-{anchor}")
        linked.add(anchor)
    chapters = set(re.findall(r"^## (.+)$", RUNBOOK.read_text(), re.MULTILINE))

    assert linked <= anchors(RUNBOOK)
    assert chapters == linked | {"budget"}
