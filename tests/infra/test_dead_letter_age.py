"""The alarm on dead letters that SQS soon deletes."""

from __future__ import annotations

from datetime import timedelta

from celeriac.contract import catalogue
from celeriac.topology import SCHEDULES, queues
from tests.infra.conftest import SAMPLE, Synthesized
from tests.infra.readings import ALARM, ONLY, Reading, Watched, watched

QUEUES = [each.name for each in catalogue().queues]


def test_dead_letters_that_nobody_has_looked_after_are_an_alarm(dev: Synthesized) -> None:
    """Of each queue and of the schedules, by how long the oldest has been there."""
    for name in (*QUEUES, "schedules"):
        alarm = dev.one("ops", ALARM, AlarmName=f"celeriac-dev-{name}-dead-letter-age")
        queue = {"QueueName": f"celeriac-dev-{name}-dead-letter"}
        reading = Reading(
            "AWS/SQS", "ApproximateAgeOfOldestMessage", queue, "Maximum", seconds=3600
        )

        assert watched(dev, "ops", alarm) == Watched({ONLY: reading})
        assert alarm["Threshold"] == timedelta(days=3).total_seconds()
        assert "3 days" in alarm["AlarmDescription"]


def test_it_goes_off_a_day_before_the_first_message_may_be_deleted(dev: Synthesized) -> None:
    """A message's time is counted from its sending, its age as a dead letter from its move there.

    docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/
    setting-up-dead-letter-queue-retention.html
    """
    for shape in queues(SAMPLE, timedelta(minutes=1)):
        alarm = dev.one("ops", ALARM, AlarmName=f"celeriac-dev-{shape.queue.name}-dead-letter-age")
        dead = dev.one(
            "data",
            "AWS::SQS::Queue",
            QueueName=f"celeriac-dev-{shape.queue.dead_letter_name}",
        )
        left = timedelta(seconds=dead["MessageRetentionPeriod"]) - shape.retention
        assert timedelta(seconds=alarm["Threshold"]) + timedelta(days=1) == left
    assert SCHEDULES.retention > timedelta(days=4)
