"""What a user's own tasks need in production: variables, secrets, grants, a network, an image."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack, aws_ec2
from aws_cdk.assertions import Template

from celeriac import catalogue
from celeriac.cdk import Celeriac, Environment, ExistingVpc
from celeriac.contract import BaseModel, Catalogue, Fleet, Queue, TaskContext, task
from infra.cdk.app import compose
from infra.cdk.environments import DEV, TAG
from tests.infra.conftest import ROOT, Synthesized, context, statements

SECRET = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:shop-x1Y2z3"
INVOICES = "arn:aws:s3:::shop-invoices/*"
FILM = Queue(
    "film",
    fleet=Fleet(
        cpu=1024,
        memory=4096,
        processes=2,
        ephemeral_storage=100,
        min_workers=2,
        max_workers=9,
        architecture="x86_64",
        apt=("ffmpeg", "libmagic1=1:5.46-5"),
        environment={"MODE": "film", "SHARED": "of the fleet", "STUDIO": "north"},
        secrets={"TOKEN": "/shop/token", "PASSWORD": f"{SECRET}:password::"},
        policy=[{"Action": ["s3:GetObject", "s3:PutObject"], "Resource": INVOICES}],
    ),
)
PLAIN = Queue("plain")
DEPLOYMENT = replace(
    DEV,
    account="123456789012",
    region="eu-central-1",
    tags={"team": "shop"},
    environment={"SHARED": "of all", "PLACE": "here"},
    secrets={"DATABASE_URL": SECRET},
    policy=[{"Action": "bedrock:InvokeModel", "Resource": "*"}],
    vpc=ExistingVpc(
        id="vpc-0123abcd",
        subnets=("subnet-0000000a", "subnet-0000000b"),
        security_groups=("sg-0da7aba5",),
    ),
    alarm_topic_arn="arn:aws:sns:eu-central-1:123456789012:on-call",
)


class Frame(BaseModel):
    number: int


@task(queue=FILM)
def cut(payload: Frame, context: TaskContext) -> Frame:
    """Cut a frame."""
    return payload


@task(queue=PLAIN)
def count(payload: Frame, context: TaskContext) -> Frame:
    """Count a frame."""
    return payload


CATALOGUE = Catalogue([cut, count], [FILM, PLAIN])


def synthesize(environment: Environment, directory: Path) -> Synthesized:
    app = App(outdir=str(directory), context=context())
    compose(app, environment, CATALOGUE)
    app.synth()
    return Synthesized(environment, directory)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    return synthesize(DEPLOYMENT, tmp_path_factory.mktemp("own"))


def worker(made: Synthesized, queue: str) -> dict[str, Any]:
    """The task definition of a queue's workers."""
    [found] = [
        each
        for each in made.properties("workers", "AWS::ECS::TaskDefinition")
        if {"Name": "CELERIAC_QUEUES", "Value": queue}
        in each["ContainerDefinitions"][0]["Environment"]
    ]
    return found


def variables(made: Synthesized, queue: str) -> dict[str, str]:
    (container,) = worker(made, queue)["ContainerDefinitions"]
    return {each["Name"]: each["Value"] for each in container["Environment"]}


def secrets(made: Synthesized, queue: str) -> dict[str, Any]:
    (container,) = worker(made, queue)["ContainerDefinitions"]
    return {each["Name"]: each["ValueFrom"] for each in container.get("Secrets", [])}


def policies(made: Synthesized, role: str) -> list[dict[str, Any]]:
    """The statements of a role, by a part of its logical id."""
    found = [
        each
        for each in made.properties("workers", "AWS::IAM::Policy")
        if any(role in ref["Ref"] for ref in each["Roles"])
    ]
    return list(statements(found))


def test_variables_reach_all_workers_and_a_fleets_win(made: Synthesized) -> None:
    """Those of the environment, then those of the fleet; the other fleet keeps the common ones."""
    film, plain = variables(made, "film"), variables(made, "plain")
    assert {"MODE": "film", "SHARED": "of the fleet", "PLACE": "here"}.items() <= film.items()
    assert {"SHARED": "of all", "PLACE": "here"}.items() <= plain.items()
    assert "MODE" not in plain


def test_secrets_are_read_by_ecs_and_granted_to_it(made: Synthesized) -> None:
    """A field of a secret, a whole secret, a parameter; the template holds their names only."""
    film = secrets(made, "film")
    assert film["DATABASE_URL"] == SECRET
    assert film["PASSWORD"] == f"{SECRET}:password::"
    parameter = film["TOKEN"]
    assert parameter == "arn:aws:ssm:eu-central-1:123456789012:parameter/shop/token"
    assert secrets(made, "plain") == {"DATABASE_URL": SECRET}
    granted = policies(made, "FilmWorkersExecutionRole")
    reading = [each for each in granted if "secretsmanager:GetSecretValue" in each["Action"]]
    assert {each["Resource"] for each in reading} == {SECRET}
    assert any("ssm:GetParameters" in each["Action"] for each in granted)
    # The tasks themselves can't read other secrets of the account.
    own = json.dumps(policies(made, "FilmWorkersTaskRole"))
    assert "secretsmanager" not in own
    assert "ssm:" not in own


def test_policies_are_added_to_each_workers_own_role(made: Synthesized) -> None:
    """The fleet's to its queue's role alone, the environment's to every role."""
    film, plain = policies(made, "FilmWorkersTaskRole"), policies(made, "PlainWorkersTaskRole")
    own = {"Action": ["s3:GetObject", "s3:PutObject"], "Effect": "Allow", "Resource": INVOICES}
    common = {"Action": "bedrock:InvokeModel", "Effect": "Allow", "Resource": "*"}
    assert own in film
    assert own not in plain
    assert common in film
    assert common in plain


def test_the_rules_take_a_users_own_wildcard_as_it_is_written(made: Synthesized) -> None:
    """cdk-nag asks for a reason for each; a policy that a user wrote needs none besides."""
    assert made.findings == []


def test_a_worker_has_the_size_and_the_processor_that_were_asked_for(made: Synthesized) -> None:
    """Disk and processor; a fleet that says nothing has AWS's disk and an ARM processor."""
    film, plain = worker(made, "film"), worker(made, "plain")
    assert film["EphemeralStorage"] == {"SizeInGiB": 100}
    assert film["RuntimePlatform"]["CpuArchitecture"] == "X86_64"
    assert "EphemeralStorage" not in plain
    assert plain["RuntimePlatform"]["CpuArchitecture"] == "ARM64"


def test_a_fleet_that_keeps_warm_never_shrinks_below_its_least(made: Synthesized) -> None:
    """Neither by Application Auto Scaling's bounds nor by the size that its alarm names."""
    film = next(
        each
        for each in made.properties("workers", "AWS::ApplicationAutoScaling::ScalableTarget")
        if each["MaxCapacity"] == FILM.fleet.max_workers
    )
    assert film["MinCapacity"] == 2
    fit = made.one("workers", "AWS::CloudWatch::Alarm", AlarmName="celeriac-dev-film-fit")
    needed = next(each["Expression"] for each in fit["Metrics"] if each["Id"] == "needed")
    assert "< 2, 2," in needed


def test_each_image_is_built_as_its_fleet_asks(made: Synthesized) -> None:
    """Two assets: one with the packages, for another processor; one for fleets that ask nothing."""
    manifest = json.loads((made.directory / "celeriac-dev-workers.assets.json").read_text())
    sources = [each["source"] for each in manifest["dockerImages"].values()]
    asked = {each["platform"]: each.get("dockerBuildArgs") for each in sources}
    assert asked == {
        "linux/amd64": {"APT": "ffmpeg libmagic1=1:5.46-5"},
        "linux/arm64": None,
    }


def test_workers_run_in_the_network_that_exists(made: Synthesized) -> None:
    """Its subnets, its security group and one of their own; no VPC is made."""
    service = made.properties("workers", "AWS::ECS::Service")[0]
    network = service["NetworkConfiguration"]["AwsvpcConfiguration"]
    assert network["Subnets"] == ["subnet-0000000a", "subnet-0000000b"]
    assert network["SecurityGroups"][1:] == ["sg-0da7aba5"]
    assert network["AssignPublicIp"] == "DISABLED"
    (own,) = made.properties("workers", "AWS::EC2::SecurityGroup")
    assert own["VpcId"] == "vpc-0123abcd"
    assert made.all("workers", "AWS::EC2::VPC") == []


def test_a_deployment_is_pinned_to_its_account_and_region(made: Synthesized) -> None:
    """With other credentials the command line refuses; nothing is looked up in the account."""
    manifest = json.loads((made.directory / "manifest.json").read_text())
    places = {
        each["environment"]
        for each in manifest["artifacts"].values()
        if each["type"] == "aws:cloudformation:stack"
    }
    assert places == {"aws://123456789012/eu-central-1"}
    assert "missing" not in manifest


def test_resources_carry_the_tags(made: Synthesized) -> None:
    """The user's, and the one that the budget goes by."""
    for stack, kind in (("data", "AWS::DynamoDB::Table"), ("api", "AWS::Lambda::Function")):
        for each in made.properties(stack, kind):
            tags = {tag["Key"]: tag["Value"] for tag in each["Tags"]}
            assert {"team": "shop", TAG: "dev"}.items() <= tags.items()


def test_alarms_go_to_the_topic_that_exists(made: Synthesized) -> None:
    """Every alarm, and the budget; no topic is made."""
    assert made.all("ops", "AWS::SNS::Topic") == []
    for alarm in made.properties("ops", "AWS::CloudWatch::Alarm"):
        assert alarm["AlarmActions"] == [DEPLOYMENT.alarm_topic_arn]


def test_zones_are_those_that_were_named(tmp_path: Path) -> None:
    """Fargate isn't in every zone of some regions."""
    zones = ("us-west-1b", "us-west-1c")
    made = synthesize(replace(DEV, availability_zones=zones), tmp_path)
    subnets = made.properties("workers", "AWS::EC2::Subnet")
    assert sorted(each["AvailabilityZone"] for each in subnets) == list(zones)


def test_isolated_workers_can_have_secrets(tmp_path: Path) -> None:
    """ECS reads them through endpoints in the same network; without secrets there are none."""
    made = synthesize(replace(DEV, network="endpoints"), tmp_path)
    endpoints = json.dumps(made.properties("workers", "AWS::EC2::VPCEndpoint"))
    assert ".secretsmanager" in endpoints
    assert ".ssm" in endpoints


@pytest.mark.parametrize(
    ("field", "fault"),
    [
        ({"environment": {"CELERIAC_TABLE_NAME": "x"}}, "CELERIAC_TABLE_NAME is a setting of"),
        ({"environment": {"1x": "x"}}, "'1x' can't be the name of a variable"),
        ({"environment": {"A": "x"}, "secrets": {"A": SECRET}}, "A is in environment and in"),
        ({"secrets": {"A": "hunter 2"}}, r"secrets\['A'\] names neither"),
        ({"secrets": {"A": SECRET[:-7]}}, "ends in a dash and six characters"),
        ({"policy": [{"Action": "s3:*"}]}, "has no Resource"),
        ({"account": "12"}, "no number of 12 digits"),
        ({"account": "123456789012"}, "give account and region, or neither"),
        ({"account": "123456789012", "region": "Frankfurt"}, "'Frankfurt' is no region"),
        ({"availability_zones": ("eu-central-1",)}, "'eu-central-1' is no zone"),
        ({"alarm_topic_arn": "on-call"}, "'on-call' is no ARN"),
        ({"vpc": DEPLOYMENT.vpc, "network": "nat"}, "vpc takes the place of network='nat'"),
        (
            {"alarm_topic_arn": "arn:aws:sns:x", "alarm_email": "a@b.example"},
            "has its own subscribers",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_name(field: dict[str, Any], fault: str) -> None:
    """Before the CDK begins; no value of a secret is shown."""
    with pytest.raises(ValueError, match=fault) as caught:
        replace(DEV, **field)
    assert "hunter" not in str(caught.value)


@pytest.mark.parametrize(
    ("ids", "fault"),
    [
        ({"id": "shop", "subnets": ("subnet-0000000a",)}, "'shop' is no id such as vpc-"),
        (
            {"id": "vpc-0000000a", "subnets": ("vpc-0000000a",)},
            "'vpc-0000000a' is no id such as subnet-",
        ),
        ({"id": "vpc-0000000a", "subnets": ()}, "name the subnets"),
    ],
)
def test_a_network_is_named_by_its_ids(ids: dict[str, Any], fault: str) -> None:
    """A name of another kind is told from an id."""
    with pytest.raises(ValueError, match=fault):
        ExistingVpc(**ids)


@pytest.fixture(scope="module")
def construct(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """The construct in a stack of the user's own, with a value for what its deployment has too."""
    app = App(outdir=str(tmp_path_factory.mktemp("construct")), context=context())
    stack = Stack(app, "shop")
    vpc = aws_ec2.Vpc(
        stack,
        "Vpc",
        subnet_configuration=[
            aws_ec2.SubnetConfiguration(name=each, subnet_type=aws_ec2.SubnetType.PRIVATE_ISOLATED)
            for each in ("Databases", "Tasks")
        ],
    )
    deployment = Environment(
        name="shop", protect=False, environment={"A": "x"}, secrets={"B": SECRET, "C": SECRET}
    )
    Celeriac(
        stack,
        "Tasks",
        catalogue=catalogue(),
        deployment=deployment,
        vpc=vpc,
        subnets=aws_ec2.SubnetSelection(subnet_group_name="Tasks"),
        environment={"B": "of the construct"},
        secrets={"A": "/of/the/construct"},
        project=ROOT,
    )
    return Template.from_stack(stack)


def test_the_constructs_own_variables_win_over_its_deployments(construct: Template) -> None:
    """A plain value over a secret of the same name, as well as the other way around."""
    for each in construct.find_resources("AWS::ECS::TaskDefinition").values():
        (container,) = each["Properties"]["ContainerDefinitions"]
        plain = {it["Name"]: it["Value"] for it in container["Environment"]}
        secret = {it["Name"]: json.dumps(it["ValueFrom"]) for it in container["Secrets"]}
        assert plain["B"] == "of the construct"
        assert "A" not in plain
        assert "/of/the/construct" in secret["A"]
        assert secret.keys() == {"A", "C"}


def test_a_fleet_is_checked_in_the_subnets_that_it_runs_in(construct: Template) -> None:
    """However they were chosen: by the name of their group here, among others of their kind."""
    (first, *_) = construct.find_resources("AWS::ECS::Service").values()
    wanted = first["Properties"]["NetworkConfiguration"]["AwsvpcConfiguration"]["Subnets"]
    assert all("Tasks" in each["Ref"] for each in wanted)
    checks = construct.find_resources("Custom::CeleriacWorkerCheck").values()
    for each in checks:
        run = json.dumps(each["Properties"]["Run"])
        assert all(json.dumps(subnet) in run for subnet in wanted)
        assert "Databases" not in run
