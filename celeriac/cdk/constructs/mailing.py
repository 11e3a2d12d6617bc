"""Mail through SES: the sender's identity, a configuration set, and the way of SES's events.

worker ─► SES ─► recipient
           │ configuration set
           └─► topic ─► the API's function ─► task record
"""

from __future__ import annotations

from datetime import timedelta

from aws_cdk import (
    Stack,
    aws_cloudwatch,
    aws_kms,
    aws_lambda,
    aws_route53,
    aws_ses,
    aws_sns,
    aws_sqs,
)
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct, IDependable

from celeriac.cdk.constructs.alarms import Alarms
from celeriac.cdk.constructs.deployment_key import queue_encryption
from celeriac.cdk.convert import duration
from celeriac.cdk.mail import Mail, MailDomain
from celeriac.cdk.nag import accept
from celeriac.topology import LONGEST_RETENTION

#: Sent and delivered mail is no event: each would cost a call of the function.
_EVENTS = [
    aws_ses.EmailSendingEvent.BOUNCE,
    aws_ses.EmailSendingEvent.COMPLAINT,
    aws_ses.EmailSendingEvent.DELIVERY_DELAY,
    aws_ses.EmailSendingEvent.REJECT,
    aws_ses.EmailSendingEvent.RENDERING_FAILURE,
]
# SES puts an account under review at these rates, of 1.
# docs.aws.amazon.com/ses/latest/dg/reputationdashboardmessages.html
_REVIEWED_BOUNCES = 0.05
_REVIEWED_COMPLAINTS = 0.001
# What a resolver may keep a record for, in seconds: as SES's console makes them.
_TTL = "1800"


class Mailing:
    """The identity if one is made, the configuration set, the topic of its events.

    The set and the topic have the deployment's names, so no other stack needs a reference to them:
    removing them is no matter of order.

    Without ``key`` the topic isn't encrypted: SES can't publish with AWS's managed key. The topic
    keeps no message that it could deliver.
    docs.aws.amazon.com/ses/latest/dg/event-publishing-add-event-destination-sns.html
    """

    def __init__(
        self, scope: Construct, *, prefix: str, mail: Mail, key: aws_kms.IKey | None = None
    ) -> None:
        self._key = key
        self.identity = _identity(scope, mail)
        self.configuration_set = aws_ses.ConfigurationSet(
            scope,
            "MailSet",
            configuration_set_name=prefix,
            reputation_metrics=True,
            suppression_reasons=aws_ses.SuppressionReasons.BOUNCES_AND_COMPLAINTS,
            # A recipient's server that offers no TLS gets its mail without. REQUIRE would drop it.
            tls_policy=aws_ses.ConfigurationSetTlsPolicy.OPTIONAL,
        )
        self._topic_name = events_topic(prefix)
        # No name of a dead-letter queue of the catalogue ends so.
        self._undelivered_name = f"{self._topic_name}-undelivered"
        self.topic = aws_sns.Topic(
            scope, "MailEvents", topic_name=self._topic_name, enforce_ssl=True, master_key=key
        )
        self.events = aws_ses.ConfigurationSetEventDestination(
            scope,
            "MailEventsToTopic",
            configuration_set=self.configuration_set,
            configuration_set_event_destination_name="task-records",
            # The CDK lets SES publish, for this set of this account alone.
            destination=aws_ses.EventDestination.sns_topic(self.topic),
            events=_EVENTS,
        )

    def deliver_to(self, scope: Construct, function: aws_lambda.IFunction) -> None:
        """Let the topic call a function with each event; the subscription belongs to ``scope``.

        Events that SNS can't hand over, as the function has gone or refuses it, wait in a queue.
        """
        arn = Stack.of(scope).format_arn(service="sns", resource=self._topic_name)
        undelivered = aws_sqs.Queue(
            scope,
            "UndeliveredMailEvents",
            queue_name=self._undelivered_name,
            retention_period=duration(LONGEST_RETENTION),
            **queue_encryption(self._key),
            enforce_ssl=True,
        )
        accept(undelivered, "AwsSolutions-SQS3", "It is itself a dead-letter queue.")
        subscription = aws_sns.Topic.from_topic_arn(scope, "MailEvents", arn).add_subscription(
            subscriptions.LambdaSubscription(function, dead_letter_queue=undelivered)
        )
        # An ARN is no reference, so the order has to be said.
        subscription.node.add_dependency(self.topic)

    def watch(self, alarms: Alarms) -> None:
        """Alarms on events that aren't delivered, and on the account's reputation."""
        alarms.add(
            "dead-letter",
            subject="mail-events",
            says="SNS couldn't hand an event of SES to the API's function.",
            do="See whether the function is there and lets the topic call it.",
            # By its name, so that no stack holds on to the queue.
            metric=aws_cloudwatch.Metric(
                namespace="AWS/SQS",
                metric_name="ApproximateNumberOfMessagesVisible",
                dimensions_map={"QueueName": self._undelivered_name},
                statistic=aws_cloudwatch.Stats.MAXIMUM,
                period=duration(timedelta(minutes=1)),
            ),
            threshold=1,
        )
        _watch_reputation(alarms)

    @property
    def parts(self) -> list[IDependable]:
        """Everything that may fail to be made."""
        return [*([self.identity] if self.identity else []), self.topic, self.events]


def _watch_reputation(alarms: Alarms) -> None:
    """Alarms on the account's rates of bounces and complaints: SES judges it by all of its mail.

    The rates are published as mail is sent, so each holds until there is a newer one.
    docs.aws.amazon.com/ses/latest/dg/reputationdashboard-cloudwatch-alarm.html
    """
    _watch_rate(
        alarms,
        "bounce",
        at=_REVIEWED_BOUNCES,
        says=f"{_REVIEWED_BOUNCES:.0%} or more of the account's mail bounces: SES may review it.",
        do="Find the tasks whose mail bounced, and mail those addresses no more.",
    )
    _watch_rate(
        alarms,
        "complaint",
        at=_REVIEWED_COMPLAINTS,
        says=f"{_REVIEWED_COMPLAINTS:.1%} or more of the account's mail is reported as spam: SES "
        "may review it.",
        do="Find the tasks whose mail it was, and mail only those who asked for it.",
    )


def _watch_rate(alarms: Alarms, kind: str, *, at: float, says: str, do: str) -> None:
    alarms.add(
        f"{kind}-rate",
        says=says,
        do=do,
        metric=aws_cloudwatch.Metric(
            namespace="AWS/SES",
            metric_name=f"Reputation.{kind.title()}Rate",
            statistic=aws_cloudwatch.Stats.MAXIMUM,
            period=duration(timedelta(hours=1)),
        ),
        threshold=at,
        missing=aws_cloudwatch.TreatMissingData.IGNORE,
    )


def events_topic(prefix: str) -> str:
    """The name of the topic of SES's events."""
    return f"{prefix}-mail-events"


def configuration_set_arn(scope: Construct, name: str) -> str:
    return Stack.of(scope).format_arn(
        service="ses", resource="configuration-set", resource_name=name
    )


def _identity(scope: Construct, mail: Mail) -> aws_ses.EmailIdentity | None:
    match mail.identity:
        case "existing":
            return None
        case MailDomain() as domain:
            return _domain_identity(scope, domain)
        case _:
            return aws_ses.EmailIdentity(
                scope, "Mail", identity=aws_ses.Identity.email(mail.sender)
            )


def _domain_identity(scope: Construct, domain: MailDomain) -> aws_ses.EmailIdentity:
    """The domain, its DKIM keys, and a MAIL FROM domain of its own for aligned SPF.

    Without the MX record SES falls back on its own MAIL FROM domain, so mail needn't wait for DNS.
    docs.aws.amazon.com/ses/latest/dg/mail-from.html

    A DMARC record isn't made. It is a policy for all mail of the domain, also that of others, and
    a record that exists would fail the deployment.
    """
    mail_from = f"bounce.{domain.name}"
    identity = aws_ses.EmailIdentity(
        scope,
        "Mail",
        # Not public_hosted_zone(): an identity of that is the zone itself, never a name below it.
        identity=aws_ses.Identity.domain(domain.name),
        mail_from_domain=mail_from,
        mail_from_behavior_on_mx_failure=aws_ses.MailFromBehaviorOnMxFailure.USE_DEFAULT_VALUE,
    )
    keys = (
        (identity.dkim_dns_token_name1, identity.dkim_dns_token_value1),
        (identity.dkim_dns_token_name2, identity.dkim_dns_token_value2),
        (identity.dkim_dns_token_name3, identity.dkim_dns_token_value3),
    )
    records = [
        *((f"MailKey{number}", "CNAME", *key) for number, key in enumerate(keys, 1)),
        ("MailFromMx", "MX", mail_from, f"10 feedback-smtp.{Stack.of(scope).region}.amazonses.com"),
        ("MailFromSpf", "TXT", mail_from, '"v=spf1 include:amazonses.com ~all"'),
    ]
    for id, type, name, value in records:
        aws_route53.CfnRecordSet(
            scope,
            id,
            hosted_zone_id=domain.zone_id,
            name=name,
            type=type,
            ttl=_TTL,
            resource_records=[value],
        )
    return identity
