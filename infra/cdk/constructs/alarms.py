"""Alarms that all tell one topic, and each of which says what to do."""

from __future__ import annotations

from aws_cdk import Stack, aws_cloudwatch, aws_cloudwatch_actions, aws_iam, aws_sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct


class Alarms(Construct):
    """An SNS topic, and alarms made with ``add``. ``email`` is subscribed if given.

    The topic isn't encrypted with a key of its own: CloudWatch can't use AWS's managed one, and a
    customer's costs more a month than the rest of the alarms. Messages name resources, no data.
    """

    def __init__(
        self, scope: Construct, id: str, *, prefix: str, runbook: str, email: str | None
    ) -> None:
        super().__init__(scope, id)
        self._prefix = prefix
        self._runbook = runbook
        self.topic = aws_sns.Topic(self, "Topic", topic_name=f"{prefix}-alarms", enforce_ssl=True)
        self.topic.add_to_resource_policy(
            aws_iam.PolicyStatement(
                sid="Publishers",
                principals=[
                    aws_iam.ServicePrincipal("budgets.amazonaws.com"),
                    aws_iam.ServicePrincipal("cloudwatch.amazonaws.com"),
                ],
                actions=["sns:Publish"],
                resources=[self.topic.topic_arn],
                conditions={"StringEquals": {"aws:SourceAccount": Stack.of(self).account}},
            )
        )
        if email:
            self.topic.add_subscription(subscriptions.EmailSubscription(email))
        self.all: list[aws_cloudwatch.Alarm] = []

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
    ) -> aws_cloudwatch.Alarm:
        """An alarm at ``threshold`` or above in ``windows`` periods of the metric on end.

        ``kind`` is its chapter in the runbook, ``subject`` what it is about. What wasn't measured
        is no alarm.
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
            treat_missing_data=aws_cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        alarm.add_alarm_action(aws_cloudwatch_actions.SnsAction(self.topic))
        alarm.add_ok_action(aws_cloudwatch_actions.SnsAction(self.topic))
        self.all.append(alarm)
        return alarm
