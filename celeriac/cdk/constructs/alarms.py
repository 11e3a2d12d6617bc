"""Alarms on one topic. Each says what happened and what to do."""

from __future__ import annotations

from aws_cdk import Stack, aws_cloudwatch, aws_cloudwatch_actions, aws_iam, aws_kms, aws_sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct


class Alarms(Construct):
    """An SNS topic, and alarms made with ``add``. ``email`` is subscribed if given.

    ``topic_arn`` is a topic that exists, in place of a new one. Its policy must let CloudWatch, and
    AWS Budgets, publish.

    Without ``key`` the topic isn't encrypted: CloudWatch can't use AWS's managed key. Messages name
    resources and hold no data.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        prefix: str,
        runbook: str,
        email: str | None,
        topic_arn: str | None = None,
        key: aws_kms.IKey | None = None,
    ) -> None:
        super().__init__(scope, id)
        self._prefix = prefix
        self._runbook = runbook
        self.all: list[aws_cloudwatch.Alarm] = []
        self.topic: aws_sns.ITopic = (
            aws_sns.Topic.from_topic_arn(self, "Topic", topic_arn)
            if topic_arn
            else self._own_topic(email, key)
        )

    def _own_topic(self, email: str | None, key: aws_kms.IKey | None) -> aws_sns.Topic:
        topic = aws_sns.Topic(
            self,
            "Topic",
            topic_name=f"{self._prefix}-alarms",
            enforce_ssl=True,
            master_key=key,
        )
        topic.add_to_resource_policy(
            aws_iam.PolicyStatement(
                sid="Publishers",
                principals=[
                    aws_iam.ServicePrincipal("budgets.amazonaws.com"),
                    aws_iam.ServicePrincipal("cloudwatch.amazonaws.com"),
                ],
                actions=["sns:Publish"],
                resources=[topic.topic_arn],
                conditions={"StringEquals": {"aws:SourceAccount": Stack.of(self).account}},
            )
        )
        if email:
            topic.add_subscription(subscriptions.EmailSubscription(email))
        return topic

    def add(
        self,
        kind: str,
        *,
        subject: str = "",
        says: str,
        do: str,
        metric: aws_cloudwatch.IMetric,
        threshold: float,
        windows: int = 1,
        missing: aws_cloudwatch.TreatMissingData = aws_cloudwatch.TreatMissingData.NOT_BREACHING,
    ) -> aws_cloudwatch.Alarm:
        """An alarm at ``threshold`` or above in ``windows`` periods of the metric in a row.

        ``kind`` is its chapter in the runbook, ``subject`` its queue or task type. Missing data is
        no alarm, unless ``missing`` says otherwise.
        """
        name = "-".join(filter(None, (self._prefix, subject, kind)))
        alarm = aws_cloudwatch.Alarm(
            self,
            f"{subject or 'system'}-{kind}",
            alarm_name=name,
            alarm_description=f"{says} {do} Runbook: {self._runbook}#{kind}",
            metric=metric,
            threshold=threshold,
            evaluation_periods=windows,
            comparison_operator=(
                aws_cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD
            ),
            treat_missing_data=missing,
        )
        alarm.add_alarm_action(aws_cloudwatch_actions.SnsAction(self.topic))
        alarm.add_ok_action(aws_cloudwatch_actions.SnsAction(self.topic))
        self.all.append(alarm)
        return alarm
