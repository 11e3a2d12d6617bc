"""Who mail is from: the identity, the configuration set, the way of SES's events."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack, Validations
from cdk_nag import AwsSolutionsChecks

from celeriac.cdk import Celeriac, Environment, Mail, MailDomain
from celeriac.contract import catalogue
from infra.cdk.environments import DEV
from tasks.queues import EMAIL
from tests.infra.conftest import (
    OPTIONS,
    ROOT,
    SMTP,
    STACKS,
    Synthesize,
    Synthesized,
    as_list,
    context,
    exports,
    statements,
)
from tests.infra.readings import ALARM, by_alarms
from tests.infra.test_costs import ALARM_METRIC

SENDER = "tasks@post.celeriac.dev"
ZONE = {"zone_name": "celeriac.dev", "zone_id": "Z0123456789"}
SUBSCRIPTION = "AWS::SNS::Subscription"
POLICY = "AWS::IAM::Policy"


def everything(synthesized: Synthesized) -> str:
    return "".join(str(synthesized.template(stack)) for stack in STACKS)


def text(value: Any) -> str:
    """A value, with its references in angle brackets."""
    match value:
        case {"Fn::Join": [str(separator), list(parts)]}:
            return separator.join(map(text, parts))
        case {"Ref": str(name)}:
            return f"<{name}>"
        case {"Fn::GetAtt": [str(name), str(attribute)]}:
            return f"<{name}.{attribute}>"
        case _:
            return str(value)


def test_a_deployment_without_mail_has_nothing_of_it(dev: Synthesized) -> None:
    """No identity, no set, no topic, no grant, no alarm."""
    assert "ses:" not in everything(dev)
    assert "AWS::SES" not in everything(dev)
    assert "mail-events" not in everything(dev)
    assert "AWS/SES" not in everything(dev)


def test_an_address_gets_an_identity_of_its_own(mailing: Synthesized) -> None:
    """SES then asks the address whether it agrees."""
    assert mailing.one("data", "AWS::SES::EmailIdentity")["EmailIdentity"] == "tasks@celeriac.dev"
    assert mailing.all("data", "AWS::Route53::RecordSet") == []


def test_an_identity_that_exists_is_left_alone(synthesize: Synthesize) -> None:
    """Making it again would fail the stack; all else is there."""
    existing = synthesize(replace(DEV, mail=Mail(sender=SENDER, identity="existing")))

    assert existing.all("data", "AWS::SES::EmailIdentity") == []
    assert existing.one("data", "AWS::SES::ConfigurationSet")["Name"] == "celeriac-dev"
    variables = existing.function["Environment"]["Variables"]
    assert variables["CELERIAC_MAIL_FROM"] == SENDER


@pytest.mark.parametrize("name", ["celeriac.dev", "post.celeriac.dev"])
def test_a_domain_is_verified_by_records_in_its_zone(synthesize: Synthesize, name: str) -> None:
    """Three DKIM keys and a MAIL FROM domain, of the zone itself as of a name below it."""
    domain = MailDomain(name=name, **ZONE)
    made = synthesize(replace(DEV, mail=Mail(sender=SENDER, identity=domain)))
    identity = made.one("data", "AWS::SES::EmailIdentity")
    records = made.properties("data", "AWS::Route53::RecordSet")
    found = {
        (each["Type"], text(each["Name"]).partition(".")[2], text(each["ResourceRecords"][0]))
        for each in records
    }
    (logical,) = {text(each["Name"])[1:].partition(".")[0] for each in records[:3]}

    assert identity["EmailIdentity"] == name
    assert identity["MailFromAttributes"] == {
        "MailFromDomain": f"bounce.{name}",
        "BehaviorOnMxFailure": "USE_DEFAULT_VALUE",
    }
    assert {each["HostedZoneId"] for each in records} == {ZONE["zone_id"]}
    assert found == {
        *(
            ("CNAME", f"DkimDNSTokenName{n}>", f"<{logical}.DkimDNSTokenValue{n}>")
            for n in (1, 2, 3)
        ),
        ("MX", name, "10 feedback-smtp.<AWS::Region>.amazonses.com"),
        ("TXT", name, '"v=spf1 include:amazonses.com ~all"'),
    }
    assert made.findings == []


def test_the_set_keeps_a_reputation_and_refuses_nobody_for_want_of_tls(
    mailing: Synthesized,
) -> None:
    """Bounces and complaints put an address on the suppression list."""
    made = mailing.one("data", "AWS::SES::ConfigurationSet")

    assert made["Name"] == "celeriac-dev"
    assert made["ReputationOptions"] == {"ReputationMetricsEnabled": True}
    assert made["SuppressionOptions"] == {"SuppressedReasons": ["BOUNCE", "COMPLAINT"]}
    assert made["DeliveryOptions"] == {"TlsPolicy": "OPTIONAL"}


def test_what_came_of_a_mail_reaches_the_function(mailing: Synthesized) -> None:
    """By way of a topic that SES alone may publish to, over TLS; not what was merely sent."""
    destination = mailing.one("data", "AWS::SES::ConfigurationSetEventDestination")
    events = destination["EventDestination"]
    (topic,) = (
        name
        for name, each in mailing.template("data")["Resources"].items()
        if each["Type"] == "AWS::SNS::Topic"
    )
    policy = list(statements(mailing.properties("data", "AWS::SNS::TopicPolicy")))
    subscription = mailing.one("api", "AWS::SNS::Subscription")
    (permission,) = (
        each
        for each in mailing.properties("api", "AWS::Lambda::Permission")
        if each["Principal"] == "sns.amazonaws.com"
    )
    arn = "arn:<AWS::Partition>:sns:<AWS::Region>:<AWS::AccountId>:celeriac-dev-mail-events"

    assert set(events["MatchingEventTypes"]) == {
        "bounce",
        "complaint",
        "deliveryDelay",
        "reject",
        "renderingFailure",
    }
    assert events["SnsDestination"] == {"TopicARN": {"Ref": topic}}
    (allowed,) = (each for each in policy if each["Effect"] == "Allow")
    (refused,) = (each for each in policy if each["Effect"] == "Deny")
    assert allowed["Principal"] == {"Service": "ses.amazonaws.com"}
    assert allowed["Condition"]["StringEquals"]["AWS:SourceAccount"] == {"Ref": "AWS::AccountId"}
    assert "configuration-set/<MailSet" in text(
        allowed["Condition"]["StringEquals"]["AWS:SourceArn"]
    )
    assert refused["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert (subscription["Protocol"], text(subscription["TopicArn"])) == ("lambda", arn)
    assert text(permission["SourceArn"]) == arn
    assert subscription["Endpoint"] == permission["FunctionName"]


@pytest.mark.parametrize(
    ("kind", "rate"), [("bounce", 0.05), ("complaint", 0.001)], ids=["bounces", "complaints"]
)
def test_a_rate_at_which_ses_reviews_the_account_is_an_alarm(
    mailing: Synthesized, kind: str, rate: float
) -> None:
    """It stays one until SES publishes a better rate, which it does only as mail is sent."""
    alarm = mailing.one("ops", ALARM, AlarmName=f"celeriac-dev-{kind}-rate")

    assert (alarm["Namespace"], alarm["MetricName"]) == (
        "AWS/SES",
        f"Reputation.{kind.title()}Rate",
    )
    assert "Dimensions" not in alarm
    assert (alarm["Threshold"], alarm["Statistic"], alarm["Period"]) == (rate, "Maximum", 3600)
    assert alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
    assert alarm["TreatMissingData"] == "ignore"


def test_an_event_that_reaches_no_function_is_kept_and_told(mailing: Synthesized) -> None:
    """SNS may put it into a queue, encrypted and kept for long; that it is there is an alarm."""
    subscription = mailing.one("api", "AWS::SNS::Subscription")
    resources = mailing.template("api")["Resources"]
    (name,) = (key for key, each in resources.items() if each["Type"] == "AWS::SQS::Queue")
    queue = resources[name]["Properties"]
    policy = [*statements(mailing.properties("api", "AWS::SQS::QueuePolicy"))]
    (allowed,) = (each for each in policy if each["Effect"] == "Allow")
    alarm = mailing.one("ops", ALARM, AlarmName="celeriac-dev-mail-events-dead-letter")

    assert subscription["RedrivePolicy"] == {"deadLetterTargetArn": {"Fn::GetAtt": [name, "Arn"]}}
    assert queue["QueueName"] == "celeriac-dev-mail-events-undelivered"
    assert (queue["SqsManagedSseEnabled"], queue["MessageRetentionPeriod"]) == (True, 1209600)
    assert allowed["Principal"] == {"Service": "sns.amazonaws.com"}
    source = allowed["Condition"]["ArnEquals"]["aws:SourceArn"]
    assert text(source).endswith(":celeriac-dev-mail-events")
    assert alarm["Dimensions"] == [{"Name": "QueueName", "Value": queue["QueueName"]}]
    assert (alarm["MetricName"], alarm["Threshold"]) == ("ApproximateNumberOfMessagesVisible", 1)


def test_the_page_on_costs_counts_these_alarms(mailing: Synthesized, dev: Synthesized) -> None:
    """The sum at rest is of a deployment without mail."""
    more = len([*by_alarms(mailing)]) - len([*by_alarms(dev)])
    page = " ".join((ROOT / "docs" / "costs.md").read_text().split())

    assert more == 3
    assert f"adds three alarms of one metric each, ${more * ALARM_METRIC:.2f}" in page


def test_snap_start_changes_nothing_of_it(synthesize: Synthesize) -> None:
    """SNS calls the function itself, and may: its alias is API Gateway's."""
    started = synthesize(replace(DEV, mail=Mail(sender=SENDER), snap_start=True))
    subscription = started.one("api", "AWS::SNS::Subscription")
    permission = started.one("api", "AWS::Lambda::Permission", Principal="sns.amazonaws.com")

    assert text(subscription["Endpoint"]) == text(permission["FunctionName"])
    assert text(subscription["Endpoint"]).startswith("<Function")
    assert text(subscription["Endpoint"]).endswith(".Arn>")
    assert started.findings == []


def test_only_the_own_sender_may_mail(mailing: Synthesized) -> None:
    """Mail leaves by the email queue alone, as the one address and with the one set.

    To whom is not restricted: SES's sandbox asks for the identities of recipients, too.
    """
    (statement,) = (
        each
        for each in statements(mailing.properties("workers", "AWS::IAM::Policy"))
        if "ses:SendEmail" in as_list(each["Action"])
    )

    assert statement["Condition"] == {"StringEquals": {"ses:FromAddress": "tasks@celeriac.dev"}}
    ends = {each["Fn::Join"][1][-1] for each in as_list(statement["Resource"])}
    assert ends == {":identity/*", ":configuration-set/celeriac-dev"}


def test_workers_name_the_set(mailing: Synthesized, dev: Synthesized) -> None:
    """By the setting, which a deployment without mail doesn't have."""
    for synthesized, wanted in ((mailing, "celeriac-dev"), (dev, None)):
        for definition in synthesized.properties("workers", "AWS::ECS::TaskDefinition"):
            (container,) = definition["ContainerDefinitions"]
            variables = {each["Name"]: each["Value"] for each in container["Environment"]}
            assert variables.get("CELERIAC_MAIL_CONFIGURATION_SET") == wanted


def test_mail_can_go_in_one_deployment(mailing: Synthesized, dev: Synthesized) -> None:
    """No other stack holds on to it, so removing ``mail`` is no matter of order."""
    for stack in STACKS:
        assert exports(mailing, stack) == exports(dev, stack)


def test_a_table_is_made_after_all_that_mail_may_fail_in(mailing: Synthesized) -> None:
    """DynamoDB won't delete a protected table when a first deployment is undone."""
    resources = mailing.template("data")["Resources"]
    (table,) = (each for each in resources.values() if each["Type"] == "AWS::DynamoDB::Table")
    mail = {name for name, each in resources.items() if "::SES::" in each["Type"]}

    assert len(mail) == 3
    assert {each for each in mail if "Set" not in each} <= set(as_list(table["DependsOn"]))


def test_an_smtp_server_needs_nothing_of_ses(synthesize: Synthesize) -> None:
    """The sender stays, and the workers get the server's URL and its ports."""
    through_smtp = synthesize(replace(DEV, mail=Mail(sender=SENDER), **{SMTP: OPTIONS[SMTP]}))
    (definition, *_) = through_smtp.properties("workers", "AWS::ECS::TaskDefinition")
    (container,) = definition["ContainerDefinitions"]

    assert "AWS::SES" not in everything(through_smtp)
    assert "ses:" not in everything(through_smtp)
    assert [each["Name"] for each in container["Secrets"]] == ["CELERIAC_SMTP_URL"]
    assert {"Name": "CELERIAC_MAIL_FROM", "Value": SENDER} in container["Environment"]


def test_the_construct_mails_as_the_stacks_do(tmp_path: Path) -> None:
    """One construct in a stack of one's own: identity, set, topic, grant, endpoint, alarms."""
    app = App(outdir=str(tmp_path), context=context())
    stack = Stack(app, "shop")
    deployment = Environment(
        name="shop", protect=False, network="endpoints", mail=Mail(sender=SENDER)
    )
    Celeriac(stack, "Tasks", catalogue=catalogue(), deployment=deployment, project=ROOT)
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    app.synth()
    resources = json.loads((tmp_path / "shop.template.json").read_text())["Resources"]
    types = [each["Type"] for each in resources.values()]
    (subscription,) = (each for each in resources.values() if each["Type"] == SUBSCRIPTION)
    topics = {
        each["Properties"].get("TopicName"): name
        for name, each in resources.items()
        if each["Type"] == "AWS::SNS::Topic"
    }
    policies = [each["Properties"] for each in resources.values() if each["Type"] == POLICY]
    grants = [each for each in statements(policies) if "ses:SendEmail" in as_list(each["Action"])]
    services = [
        text(each["Properties"]["ServiceName"])
        for each in resources.values()
        if each["Type"] == "AWS::EC2::VPCEndpoint"
    ]

    assert Synthesized(deployment, tmp_path).findings == []
    assert types.count("AWS::SES::EmailIdentity") == types.count("AWS::SES::ConfigurationSet") == 1
    assert len(grants) == 1
    # Its ARN is no reference, so the template has to say the order.
    assert topics["celeriac-shop-mail-events"] in as_list(subscription["DependsOn"])
    assert any(each.endswith(".email") for each in services)
    assert any("Reputation.BounceRate" in str(each) for each in resources.values())


@pytest.mark.parametrize(
    ("sender", "identity", "fault"),
    [
        ("tasks", "create", "give one address"),
        ("Tasks <tasks@celeriac.dev>", "create", "give one address"),
        ("a@celeriac.dev, b@celeriac.dev", "create", "give one address"),
        ("tasks@celeriac.dev\nBcc: all@celeriac.dev", "create", "give one address"),
        (SENDER, "verified", "must be 'create', 'existing' or a MailDomain"),
        (SENDER, MailDomain(name="shop.celeriac.dev", **ZONE), "isn't in MailDomain"),
        ("tasks@evilceleriac.dev", MailDomain(name="celeriac.dev", **ZONE), "isn't in MailDomain"),
    ],
)
def test_a_sender_that_could_not_send_is_refused(sender: str, identity: Any, fault: str) -> None:
    """Before the CDK begins, with what to write."""
    with pytest.raises(ValueError, match=fault):
        Mail(sender=sender, identity=identity)


def test_a_domain_that_is_not_in_its_zone_is_refused() -> None:
    """Its records would be made where nobody looks."""
    with pytest.raises(ValueError, match="isn't in the zone"):
        MailDomain(name="otherceleriac.dev", **ZONE)


@pytest.mark.parametrize(("per_second", "most"), [(1, 1), (14, 2), (30, 4), (40, 5), (1000, 5)])
def test_a_fleet_that_only_sends_follows_the_rate_of_ses(
    synthesize: Synthesize, per_second: int, most: int
) -> None:
    """Eight processes take a second for a mail at most; the fleet's own limit holds too."""
    mail = Mail(sender="tasks@celeriac.dev", per_second=per_second)
    made = synthesize(replace(DEV, mail=mail))
    targets = made.properties("workers", "AWS::ApplicationAutoScaling::ScalableTarget")
    (email,) = [each for each in targets if "/email" in str(each["ResourceId"])]
    assert email["MaxCapacity"] == most


def test_a_fleet_that_mails_through_a_server_of_ones_own_follows_no_rate(
    synthesize: Synthesize,
) -> None:
    """SES takes none of it."""
    mail = Mail(sender="tasks@celeriac.dev", per_second=1)
    smtp = "arn:aws:secretsmanager:us-east-1:123456789012:secret:smtp-a1b2c3"
    made = synthesize(replace(DEV, mail=mail, smtp_secret_arn=smtp))
    targets = made.properties("workers", "AWS::ApplicationAutoScaling::ScalableTarget")
    (email,) = [each for each in targets if "/email" in str(each["ResourceId"])]
    assert email["MaxCapacity"] == EMAIL.fleet.max_workers


def test_a_rate_of_nothing_is_refused() -> None:
    """An account that sends nothing sends no mail."""
    with pytest.raises(ValueError, match="per_second=0 must be 1 or more"):
        Mail(sender="tasks@celeriac.dev", per_second=0)
