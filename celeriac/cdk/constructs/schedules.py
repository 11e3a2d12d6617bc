"""EventBridge Scheduler: the schedules' group, the role they send with, and their dead letters."""

from __future__ import annotations

from aws_cdk import RemovalPolicy, Stack, aws_iam, aws_kms, aws_scheduler, aws_sqs
from constructs import Construct

from celeriac.cdk.constructs.deployment_key import queue_encryption
from celeriac.cdk.convert import duration
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
