"""Python's durations in CDK's types."""

from __future__ import annotations

from datetime import timedelta

from aws_cdk import Duration, aws_logs

# CloudWatch Logs takes certain numbers of days only, which the enum names by word.
_RETENTION = {
    1: aws_logs.RetentionDays.ONE_DAY,
    3: aws_logs.RetentionDays.THREE_DAYS,
    5: aws_logs.RetentionDays.FIVE_DAYS,
    7: aws_logs.RetentionDays.ONE_WEEK,
    14: aws_logs.RetentionDays.TWO_WEEKS,
    30: aws_logs.RetentionDays.ONE_MONTH,
    60: aws_logs.RetentionDays.TWO_MONTHS,
    90: aws_logs.RetentionDays.THREE_MONTHS,
    180: aws_logs.RetentionDays.SIX_MONTHS,
    365: aws_logs.RetentionDays.ONE_YEAR,
}


def duration(value: timedelta) -> Duration:
    """CDK's duration of this ``timedelta``."""
    return Duration.millis(value / timedelta(milliseconds=1))


def retention(value: timedelta) -> aws_logs.RetentionDays:
    """How long a log group keeps its lines.

    Raises:
        ValueError: CloudWatch Logs takes no such number of days; the message lists the choices.
    """
    try:
        return _RETENTION[value.days]
    except KeyError:
        raise ValueError(
            f"CloudWatch Logs can't keep lines for {value.days} days: choose one of "
            f"{', '.join(map(str, _RETENTION))}."
        ) from None
