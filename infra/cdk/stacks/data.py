"""What must outlive a deployment: records, artifacts, queued messages, schedules."""

from __future__ import annotations

from datetime import timedelta

from aws_cdk import Fn, RemovalPolicy, Stack, Token, aws_iam, aws_ses
from constructs import Construct

from celeriac.settings import Settings
from celeriac.topology import TABLE, queues
from infra.cdk.accepted import accept
from infra.cdk.constructs.artifacts import Artifacts
from infra.cdk.constructs.schedules import Schedules
from infra.cdk.constructs.task_queue import TaskQueue
from infra.cdk.constructs.task_table import TaskTable
from infra.cdk.deployment import DeploymentSettings
from infra.cdk.environments import Environment
from tasks.contract import Catalogue, Queue


class Data(Stack):
    """Table, bucket, a pair of queues for each ``Queue``, schedule group, mail identity."""

    def __init__(
        self, scope: Construct, id: str, *, environment: Environment, catalogue: Catalogue
    ) -> None:
        super().__init__(
            scope,
            id,
            stack_name=f"{environment.prefix}-data",
            description="Celeriac: task records, artifacts, queues and schedules.",
            termination_protection=environment.protect,
        )
        removal = RemovalPolicy.RETAIN if environment.protect else RemovalPolicy.DESTROY
        defaults = DeploymentSettings()
        self.environment_name = environment.name
        self.table = TaskTable(
            self,
            "Records",
            name=environment.prefix,
            shape=TABLE,
            recoverable=environment.protect,
            deletion_protection=environment.protect,
            removal_policy=removal,
        )
        self.artifacts = Artifacts(
            self,
            "Artifacts",
            # Bucket names are one space for all of AWS's customers.
            name=f"{environment.prefix}-{self.account}-{self.region}",
            # S3 deletes once a day: a day more, so nothing goes before its record does.
            keep=max(environment.record_ttl, defaults.upload_ttl) + timedelta(days=1),
            origins=[
                f"https://{environment.domain.name}"
                if environment.domain
                else f"https://*.execute-api.{self.region}.{self.url_suffix}"
            ],
            removal_policy=removal,
        )
        self.queues: dict[Queue, TaskQueue] = {
            shape.queue: TaskQueue(
                self,
                f"{shape.queue.name.title()}Queue",
                prefix=environment.prefix,
                shape=shape,
                removal_policy=removal,
            )
            for shape in queues(catalogue, defaults.visibility)
        }
        self.schedules = Schedules(
            self, "Schedules", prefix=environment.prefix, removal_policy=removal
        )
        self.schedules.role.add_to_policy(
            aws_iam.PolicyStatement(
                sid="SendTasks",
                actions=["sqs:SendMessage"],
                resources=[
                    *(each.queue.queue_arn for each in self.queues.values()),
                    self.schedules.dead_letter.queue_arn,
                ],
            )
        )
        if environment.mail_from:
            aws_ses.EmailIdentity(
                self, "Mail", identity=aws_ses.Identity.email(environment.mail_from)
            )
        self.settings: Settings = DeploymentSettings(
            environment=environment.name,
            table_name=self.table.table.table_name,
            bucket_name=self.artifacts.bucket.bucket_name,
            # From the one queue that is there whatever the catalogue says: see "Upgrade" in
            # docs/deploying.md.
            queue_url_prefix=_before_queue_name(
                environment.prefix, self.schedules.dead_letter.queue_url
            ),
            queue_arn_prefix=_before_queue_name(
                environment.prefix, self.schedules.dead_letter.queue_arn
            ),
            schedule_group=self.schedules.group_name,
            schedule_role_arn=self.schedules.role.role_arn,
            schedule_dead_letter_arn=self.schedules.dead_letter.queue_arn,
            cluster_name=environment.prefix,
            worker_log_group=f"/{environment.prefix.replace('-', '/', 1)}/workers",
            mail_from=environment.mail_from,
            record_ttl=environment.record_ttl,
            listing_shards=environment.listing_shards,
            token_tenant_claim=environment.jwt.tenant_claim if environment.jwt else None,
            token_scope_prefix=environment.jwt.scope_prefix if environment.jwt else "",
        )
        self._accept(environment)

    def _accept(self, environment: Environment) -> None:
        accept(
            self.artifacts,
            "AwsSolutions-S1",
            "Every access is by a role of this system or by a link it signed, and the task records "
            "say who asked; a log of each request would cost more than the objects do.",
        )
        dead_letter_reason = "It is itself a dead-letter queue."
        for each in self.queues.values():
            accept(each.dead_letter, "AwsSolutions-SQS3", dead_letter_reason)
        accept(self.schedules.dead_letter, "AwsSolutions-SQS3", dead_letter_reason)
        if not environment.protect:
            accept(
                self.table,
                "AwsSolutions-DDB3",
                "An environment that isn't protected holds nothing worth restoring.",
            )


def _before_queue_name(prefix: str, name_of_any: str) -> str:
    """What the URLs, or the ARNs, of all queues begin with, from that of any one of them.

    Cut where the name begins, since what stands before it differs between AWS and a stand-in.
    """
    if not Token.is_unresolved(name_of_any):
        raise TypeError(f"{name_of_any!r} is a finished string, not a value of CloudFormation.")
    return f"{Fn.select(0, Fn.split(f'{prefix}-', name_of_any))}{prefix}-"
