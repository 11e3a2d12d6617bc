"""The part of a deployment that must outlive it: records, artifacts, queues, schedules, mail."""

from __future__ import annotations

from typing import Any

from aws_cdk import ArnFormat, Fn, RemovalPolicy, Stack, Token, aws_kms
from constructs import Construct

from celeriac.app.declared import of_types
from celeriac.cdk.constructs.artifacts import Artifacts
from celeriac.cdk.constructs.deployment_key import DeploymentKey, for_alarms, for_logs, for_mail
from celeriac.cdk.constructs.mailing import Mailing, events_topic
from celeriac.cdk.constructs.schedules import Schedules
from celeriac.cdk.constructs.task_queue import TaskQueue
from celeriac.cdk.constructs.task_table import TaskTable
from celeriac.cdk.deployment import DeploymentSettings
from celeriac.cdk.environment import CREATE, Environment
from celeriac.cdk.grants import grant, grant_key_of_queues
from celeriac.cdk.nag import accept
from celeriac.cdk.sources import Sources
from celeriac.contract import Catalogue, Queue
from celeriac.settings import Settings
from celeriac.storage.event_bridge import REPAIR, REPAIRED
from celeriac.topology import FIRE, TABLE, expiries, queues


class TaskData:
    """Table, bucket, schedule group, and for each queue an SQS queue with its dead letters.

    With mail through SES, what SES needs for it: see ``Mailing``.

    The schedules are those that the task types declare, the ``beat_schedule`` of
    ``sources``, and one that repairs lost tasks each hour.

    ``key`` encrypts all of it, if the environment has one.

    ``settings`` are what the API and the workers of the deployment run with.
    """

    def __init__(
        self, scope: Construct, *, environment: Environment, catalogue: Catalogue, sources: Sources
    ) -> None:
        prefix = environment.prefix
        stack = Stack.of(scope)
        # A first deployment that fails leaves nothing: names are fixed, so what it left would fail
        # the next one. docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/
        # aws-attribute-deletionpolicy.html
        removal = (
            RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE
            if environment.protect
            else RemovalPolicy.DESTROY
        )
        defaults = DeploymentSettings(**dict[str, Any](environment.settings))
        self.key = _key(scope, environment, removal)
        self.table = TaskTable(
            scope,
            "Records",
            name=prefix,
            shape=TABLE,
            recoverable=environment.protect,
            deletion_protection=environment.protect,
            removal_policy=removal,
            warm=environment.warm_throughput,
            key=self.key,
        )
        self.artifacts = Artifacts(
            scope,
            "Artifacts",
            # All of AWS's customers share one space of bucket names.
            name=f"{prefix}-{stack.account}-{stack.region}",
            expiries=expiries(record_ttl=environment.record_ttl, upload_ttl=defaults.upload_ttl),
            web_origins=environment.web_origins,
            removal_policy=removal,
            key=self.key,
        )
        self.queues: dict[Queue, TaskQueue] = {
            shape.queue: TaskQueue(
                scope,
                f"{shape.queue.name.title()}Queue",
                prefix=prefix,
                shape=shape,
                removal_policy=removal,
                key=self.key,
            )
            for shape in queues(catalogue, defaults.visibility)
        }
        self.schedules = Schedules(
            scope, "Schedules", prefix=prefix, removal_policy=removal, key=self.key
        )
        # By its name: the function's stack needs this one.
        self.fire_arn = stack.format_arn(
            service="lambda",
            resource="function",
            resource_name=f"{prefix}-{FIRE}",
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )
        grant(self.schedules.role, "Fire", ["lambda:InvokeFunction"], [self.fire_arn])
        grant(
            self.schedules.role,
            "SendTasks",
            ["sqs:SendMessage"],
            [
                # What an earlier version delayed sends its message itself: see "Delays over 15
                # minutes" in docs/upgrading.md.
                *(arn for each in self.queues.values() for arn in each.lane_arns),
                self.schedules.dead_letter.queue_arn,
            ],
        )
        grant_key_of_queues(self.schedules.role, self)
        declared = [*of_types(catalogue), *sources.beat]
        self.schedules.declare(
            {REPAIR: REPAIRED, **{each.schedule_id: each.schedule for each in declared}},
            self.fire_arn,
        )
        self.mailing = (
            Mailing(scope, prefix=prefix, mail=environment.ses_mail, key=self.key)
            if environment.ses_mail
            else None
        )
        # Made last: a first deployment that fails elsewhere then has no table to delete, which
        # DynamoDB refuses to do with a protected one.
        self.table.node.add_dependency(
            self.artifacts,
            self.schedules,
            *self.queues.values(),
            *(self.mailing.parts if self.mailing else ()),
        )
        self.settings = self._settings(environment)
        self._accept(environment)

    def _settings(self, environment: Environment) -> Settings:
        prefix, jwt = environment.prefix, environment.jwt
        # This queue exists whatever the catalogue says: see "Remove a queue" in docs/upgrading.md.
        any_queue = self.schedules.dead_letter
        chosen: dict[str, Any] = dict(environment.settings)
        return DeploymentSettings(
            environment=environment.title,
            table_name=self.table.table.table_name,
            bucket_name=self.artifacts.bucket.bucket_name,
            queue_url_prefix=_before_queue_name(prefix, any_queue.queue_url),
            queue_arn_prefix=_before_queue_name(prefix, any_queue.queue_arn),
            schedule_group=self.schedules.group_name,
            schedule_target_arn=self.fire_arn,
            schedule_role_arn=self.schedules.role.role_arn,
            schedule_dead_letter_arn=any_queue.queue_arn,
            cluster_name=prefix,
            mail_from=environment.mail.sender if environment.mail else None,
            mail_configuration_set=prefix if environment.ses_mail else None,
            record_ttl=environment.record_ttl,
            listing_shards=environment.listing_shards,
            token_tenant_claim=jwt.tenant_claim if jwt else None,
            token_scope_prefix=jwt.scope_prefix if jwt else "",
            docs=environment.docs,
            requests_per_key=environment.requests_per_key,
            requests_per_tenant=environment.requests_per_tenant,
            waiting_per_tenant=environment.waiting_per_tenant,
            mails_per_tenant=environment.mails_per_tenant,
            web_origins=environment.web_origins,
            **chosen,
        )

    def _accept(self, environment: Environment) -> None:
        accept(
            self.artifacts,
            "AwsSolutions-S1",
            "Every access is by a role of this system or by a link it signed, and the task records "
            "say who asked; a log of each request would cost more than the objects do.",
        )
        pairs = self.queues.values()
        for dead_letter in (*(each.dead_letter for each in pairs), self.schedules.dead_letter):
            accept(dead_letter, "AwsSolutions-SQS3", "It is itself a dead-letter queue.")
        if not environment.protect:
            accept(
                self.table,
                "AwsSolutions-DDB3",
                "An environment that isn't protected holds nothing worth restoring.",
            )


def _key(scope: Construct, environment: Environment, removal: RemovalPolicy) -> aws_kms.IKey | None:
    """The key that encrypts the deployment's data: its own, one that exists, or AWS's.

    The log groups and the alarms' topic are in stacks that need this one, so the key's policy names
    them by their names.
    """
    prefix, stack = environment.prefix, Stack.of(scope)
    if environment.kms_key is None:
        return None
    if environment.kms_key != CREATE:
        return aws_kms.Key.from_key_arn(scope, "Key", environment.kms_key)
    allowed = [
        for_logs(
            stack,
            environment.log_group("*"),
            f"/aws/lambda/{prefix}-check",
            f"/aws/vendedlogs/{prefix}/*",
        )
    ]
    if not environment.alarm_topic_arn:
        allowed.append(for_alarms(stack))
    if environment.ses_mail:
        allowed.extend(for_mail(stack, topic=events_topic(prefix)))
    made = DeploymentKey(scope, "Key", name=prefix, allowed=allowed, removal_policy=removal)
    return made.key


def _before_queue_name(prefix: str, name_of_any: str) -> str:
    """The beginning that the URLs, or the ARNs, of all queues share, from any one of them.

    It is cut where the name begins: the part before that differs between AWS and a stand-in.
    """
    if not Token.is_unresolved(name_of_any):
        raise TypeError(f"{name_of_any!r} is a finished string, not a value of CloudFormation.")
    return f"{Fn.select(0, Fn.split(f'{prefix}-', name_of_any))}{prefix}-"
