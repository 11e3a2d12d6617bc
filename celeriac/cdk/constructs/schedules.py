"""EventBridge Scheduler: the schedules' group, the role they fire with, and their dead letters."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from aws_cdk import RemovalPolicy, Stack, aws_iam, aws_kms, aws_scheduler, aws_sqs
from constructs import Construct

from celeriac import clock
from celeriac.app.declared_schedule import schedule_id as id_of
from celeriac.cdk.constructs.deployment_key import queue_encryption
from celeriac.cdk.convert import duration
from celeriac.contract import Schedule
from celeriac.storage.event_bridge import RETRY_POLICY, envelope, start_of
from celeriac.topology import SCHEDULES


class Schedules(Construct):
    """A schedule group, its role (which can do nothing until it is granted), its dead letters."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        prefix: str,
        removal_policy: RemovalPolicy,
        key: aws_kms.IKey | None = None,
    ) -> None:
        super().__init__(scope, id)
        stack = Stack.of(self)
        self.group_name = prefix
        self.group = aws_scheduler.CfnScheduleGroup(self, "Group", name=prefix)
        self.group.apply_removal_policy(removal_policy)
        self.group_arn = stack.format_arn(
            service="scheduler", resource="schedule-group", resource_name=prefix
        )
        self.schedule_arns = stack.format_arn(
            service="scheduler", resource="schedule", resource_name=f"{prefix}/*"
        )
        # Both conditions, so that no other account's scheduler and no other group can borrow it:
        # docs.aws.amazon.com/scheduler/latest/UserGuide/
        # cross-service-confused-deputy-prevention.html
        self.role = aws_iam.Role(
            self,
            "Role",
            description="EventBridge Scheduler sends messages to the task queues with it.",
            assumed_by=aws_iam.ServicePrincipal(
                "scheduler.amazonaws.com",
                conditions={
                    "StringEquals": {
                        "aws:SourceAccount": stack.account,
                        "aws:SourceArn": self.group_arn,
                    }
                },
            ),
        )
        self.dead_letter = aws_sqs.Queue(
            self,
            "DeadLetter",
            queue_name=f"{prefix}-{SCHEDULES.dead_letter_name}",
            retention_period=duration(SCHEDULES.retention),
            **queue_encryption(key),
            enforce_ssl=True,
            removal_policy=removal_policy,
        )

    def declare(self, declared: Mapping[str, Schedule], target_arn: str) -> None:
        """Have schedules call the target, by their ids. What never fires again is left out.

        Scheduler checks the role when it makes a schedule, so the role's policy comes first.

        A name is unique in its group for Scheduler, but in account and region for CloudFormation:
        its primary identifier is the name alone, and it refuses one that another stack has.
        docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-scheduler-schedule.html
        """
        now = clock.to_datetime(clock.now())
        for schedule_id, schedule in declared.items():
            if not any(schedule.fire_times(now)):
                continue
            made = aws_scheduler.CfnSchedule(
                self,
                schedule_id,
                name=id_of(f"{self.group_name}-{schedule_id}"),
                group_name=self.group_name,
                schedule_expression=schedule.expression,
                schedule_expression_timezone=schedule.timezone,
                start_date=_written(start_of(schedule)),
                end_date=_written(schedule.end),
                flexible_time_window=aws_scheduler.CfnSchedule.FlexibleTimeWindowProperty(
                    mode="OFF"
                ),
                target=aws_scheduler.CfnSchedule.TargetProperty(
                    arn=target_arn,
                    role_arn=self.role.role_arn,
                    input=envelope(schedule_id),
                    dead_letter_config=aws_scheduler.CfnSchedule.DeadLetterConfigProperty(
                        arn=self.dead_letter.queue_arn
                    ),
                    retry_policy=aws_scheduler.CfnSchedule.RetryPolicyProperty(
                        maximum_event_age_in_seconds=RETRY_POLICY["MaximumEventAgeInSeconds"],
                        maximum_retry_attempts=RETRY_POLICY["MaximumRetryAttempts"],
                    ),
                ),
            )
            made.node.add_dependency(self.group, self.role)


def _written(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.000Z}"
