"""docs/postgres.md: both ways to AWS, by their templates."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest

from tests.architecture.pages import ROOT, code_blocks
from tests.doors.stacks import containers, granted, of
from tests.infra.pages import synthesize, write_project

PAGE = ROOT / "docs/postgres.md"

APP = """
from aws_cdk import App
from infra.shop import Shop

app = App()
Shop(app, "shop")
app.synth()
"""


def snippet(part: str) -> str:
    """The page's only block of Python with these words that is no file of its own."""
    (found,) = [
        each.text for each in code_blocks("python", PAGE) if part in each.text and not each.path
    ]
    return found


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The template of the page's own stack."""
    project = write_project(tmp_path_factory.mktemp("shop"), PAGE)
    return synthesize(project, APP)["shop"]


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The template of the application's workers, with the page's lines in its files."""
    project = write_project(tmp_path_factory.mktemp("application"), PAGE)
    shutil.copytree(ROOT / "infra", project / "infra", dirs_exist_ok=True)
    environments = project / "infra/cdk/environments.py"
    text = snippet("ExistingVpc(")
    environments.write_text(f"{environments.read_text()}\n{text}\nENVIRONMENTS['dev'] = DEV\n")
    stack = project / "infra/cdk/stacks/workers.py"
    imports, _, lines = snippet("add_ingress_rule").partition("\n\n")
    body = "".join(f"        {line}\n" for line in lines.splitlines())
    before, property, after = stack.read_text().partition("\n    @property\n")
    head, marker, rest = before.partition("import jsii\n")
    stack.write_text(f"{head}{marker}{imports}\n{rest}{body}{property}{after}")
    return synthesize(project, "from infra.cdk.app import main\nmain()")["shop-dev-workers"]


def variables(template: dict[str, Any], prefix: str = "") -> tuple[dict[str, Any], dict[str, Any]]:
    """The variables and the secrets of the workers of the page's queue."""
    (found,) = [
        each
        for each in containers(template, prefix)
        if {"Name": "CELERIAC_QUEUES", "Value": "orders"} in each["Environment"]
    ]
    return (
        {each["Name"]: each["Value"] for each in found["Environment"]},
        {each["Name"]: each["ValueFrom"] for each in found["Secrets"]},
    )


def settings_of(template: dict[str, Any]) -> set[str]:
    plain, secret = variables(template)
    return {each for each in (*plain, *secret) if each.startswith("DATABASE_")}


@pytest.mark.parametrize("way", ["shop", "workers"])
def test_workers_have_every_setting_and_the_template_no_password(
    way: str, request: pytest.FixtureRequest
) -> None:
    """What the page's ``Settings`` reads; user and password are fields of one secret."""
    template: dict[str, Any] = request.getfixturevalue(way)
    plain, secret = variables(template)

    assert settings_of(template) == {
        f"DATABASE_{name}" for name in ("HOST", "NAME", "CERTIFICATES", "USER", "PASSWORD")
    }
    assert plain["DATABASE_NAME"] == "shop"
    assert set(secret) == {"DATABASE_USER", "DATABASE_PASSWORD"}
    assert json.dumps(secret["DATABASE_USER"]).replace("username", "password") == json.dumps(
        secret["DATABASE_PASSWORD"]
    )


@pytest.mark.parametrize(
    ("way", "room"), [("shop", "TasksWorkersOrdersWorkers"), ("workers", "OrdersWorkers")]
)
def test_ecs_may_read_the_secret_and_the_tasks_may_not(
    way: str, room: str, request: pytest.FixtureRequest
) -> None:
    """The policy is the execution role's."""
    template: dict[str, Any] = request.getfixturevalue(way)

    assert "secretsmanager:GetSecretValue" in granted(template, f"{room}ExecutionRole")
    assert "secretsmanager:GetSecretValue" not in granted(template, f"{room}TaskRole")


def test_the_applications_workers_call_5432_and_the_database_lets_them_in(
    workers: dict[str, Any],
) -> None:
    """Out by ``egress_ports``; in by a rule of the database's group that names the workers'."""
    ((id, group),) = of(workers, "AWS::EC2::SecurityGroup").items()
    (rule,) = of(workers, "AWS::EC2::SecurityGroupIngress").values()

    assert [each["FromPort"] for each in group["SecurityGroupEgress"]] == [443, 5432]
    assert rule["GroupId"] == "sg-0123456789abcdef0"
    assert rule["SourceSecurityGroupId"] == {"Fn::GetAtt": [id, "GroupId"]}
    assert (rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) == ("tcp", 5432, 5432)


def test_the_stacks_own_database_and_workers_are_let_through(shop: dict[str, Any]) -> None:
    """One line opens both ends, at the database's own port."""
    (database,) = of(shop, "AWS::EC2::SecurityGroup", "Database")
    (workers,) = of(shop, "AWS::EC2::SecurityGroup", "TasksWorkers")
    (rule,) = of(shop, "AWS::EC2::SecurityGroupIngress").values()
    (out,) = of(shop, "AWS::EC2::SecurityGroupEgress").values()
    ((id, instance),) = of(shop, "AWS::RDS::DBInstance").items()

    assert rule["GroupId"] == out["DestinationSecurityGroupId"]
    assert rule["GroupId"] == {"Fn::GetAtt": [database, "GroupId"]}
    assert rule["SourceSecurityGroupId"] == {"Fn::GetAtt": [workers, "GroupId"]}
    assert rule["FromPort"] == out["FromPort"] == {"Fn::GetAtt": [id, "Endpoint.Port"]}
    assert instance["VPCSecurityGroups"] == [{"Fn::GetAtt": [database, "GroupId"]}]
