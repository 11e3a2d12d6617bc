"""The fourth door: one construct, in a stack that has other constructs of its own.

Nothing here but the wheel with the ``cdk`` extra, a task file, two locks and the stack.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.doors.conftest import MakeEnvironment
from tests.doors.stacks import (
    APART,
    STACK,
    TASK,
    containers,
    exported,
    granted,
    imported,
    of,
)


def write(project: Path, **files: str) -> None:
    for name, text in files.items():
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


#: Runs a program, which writes into a directory that may be named.
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = tmp_path_factory.mktemp("shop")
    write(
        project,
        **{
            "tasks/__init__.py": "",
            "tasks/bill_order.py": TASK,
            "locks/api.txt": "celeriac==0.1.0\n",
            "locks/worker.txt": "celeriac==0.1.0\n",
            "app.py": STACK,
        },
    )
    return project


@pytest.fixture(scope="module")
def run(project: Path, environment: MakeEnvironment) -> Run:
    """Run a program in the project, in the environment that has nothing but the wheel."""
    python = environment("cdk")
    variables = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}

    def run(program: str, out: str = "out") -> subprocess.CompletedProcess[str]:
        (project / "program.py").write_text(program)
        return subprocess.run(
            [str(python), "program.py", out],
            cwd=project,
            env={**variables, "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "1"},
            check=False,
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run


@pytest.fixture(scope="module")
def template(run: Run, project: Path) -> dict[str, Any]:
    done = run(STACK)
    assert done.returncode == 0, done.stderr
    return json.loads((project / "out" / "shop.template.json").read_text())  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def apart(run: Run, project: Path) -> dict[str, dict[str, Any]]:
    """The templates of ``APART``, by the names of their stacks."""
    done = run(APART, "out-apart")
    assert done.returncode == 0, done.stderr
    return {
        path.name.partition(".")[0]: json.loads(path.read_text())
        for path in (project / "out-apart").glob("*.template.json")
    }


def test_workers_get_the_variables_and_the_secrets(template: dict[str, Any]) -> None:
    """Every worker has them, and a secret is a reference that ECS resolves."""
    (bucket,) = of(template, "AWS::S3::Bucket", "Invoices")
    found = containers(template, "Tasks")

    assert len(found) == 2
    for container in found:
        variables = {each["Name"]: each["Value"] for each in container["Environment"]}
        secrets = {each["Name"]: each["ValueFrom"] for each in container["Secrets"]}
        assert variables["INVOICES"] == {"Ref": bucket}
        assert variables["CELERIAC_TABLE_NAME"]
        assert set(secrets) == {"DATABASE_PASSWORD", "SHOP_TOKEN"}
    assert not any("Secrets" in container for container in containers(template, "Other"))


def test_ecs_may_read_the_secrets_and_the_workers_may_not(template: dict[str, Any]) -> None:
    """The grants are the execution roles', which fetch what a task definition refers to."""
    execution = granted(template, "TasksWorkersMyQueueWorkersExecutionRole")
    task = granted(template, "TasksWorkersMyQueueWorkersTaskRole")

    assert {"secretsmanager:GetSecretValue", "ssm:GetParameters"} <= set(execution)
    assert not {"secretsmanager:GetSecretValue", "ssm:GetParameters"} & set(task)


def test_workers_may_do_what_the_policy_says(template: dict[str, Any]) -> None:
    """Statements and a function that is called with each role both reach the workers' roles."""
    (bucket,) = of(template, "AWS::S3::Bucket", "Invoices")
    for queue in ("Default", "MyQueue"):
        mine = granted(template, f"TasksWorkers{queue}WorkersTaskRole")
        others = granted(template, f"OtherWorkers{queue}WorkersTaskRole")
        assert bucket in json.dumps(mine["s3:GetObject*"])
        assert others["bedrock:InvokeModel"] == "arn:aws:m"
        assert "bedrock:InvokeModel" not in mine
    assert "s3:GetObject*" not in granted(template, "TasksApiRole")


def test_workers_run_in_the_given_network(template: dict[str, Any]) -> None:
    """They are in the private subnets of the stack's own VPC; no second one is made for them."""
    services = of(template, "AWS::ECS::Service", "Tasks").values()
    private = set(of(template, "AWS::EC2::Subnet", "VpcPrivateSubnet"))

    assert len(services) == 2
    for service in services:
        network = service["NetworkConfiguration"]["AwsvpcConfiguration"]
        assert {each["Ref"] for each in network["Subnets"]} == private
        assert network["AssignPublicIp"] == "DISABLED"
    assert len(of(template, "AWS::EC2::VPC", "Vpc")) == 1
    assert not of(template, "AWS::EC2::VPC", "Tasks")
    assert len(of(template, "AWS::EC2::VPC", "Other")) == 1


def test_a_database_lets_the_workers_in(template: dict[str, Any]) -> None:
    """The construct is connectable: one rule in, and one out of the workers' group."""
    rules_in = of(template, "AWS::EC2::SecurityGroupIngress", "Database").values()
    rules_out = of(template, "AWS::EC2::SecurityGroupEgress", "Tasks").values()

    assert [each["FromPort"] for each in rules_in] == [5432]
    assert [each["FromPort"] for each in rules_out] == [5432]


APART_STACKS = ["next-to-it", "known-by-ids"]


@pytest.mark.parametrize("stack", APART_STACKS)
def test_workers_run_in_a_network_that_another_made(
    apart: dict[str, dict[str, Any]], stack: str
) -> None:
    """They are in its private subnets, whether it is another stack's or known by its ids."""
    network = apart["network"]
    subnets = {
        "next-to-it": set(of(network, "AWS::EC2::Subnet", "VpcPrivateSubnet")),
        "known-by-ids": {"subnet-0123456789abcdef0", "subnet-0123456789abcdef1"},
    }
    services = of(apart[stack], "AWS::ECS::Service").values()

    assert len(services) == 2
    for service in services:
        where = service["NetworkConfiguration"]["AwsvpcConfiguration"]
        found = [imported(each, exported(network)) for each in where["Subnets"]]
        assert {each["Ref"] if isinstance(each, dict) else each for each in found} == subnets[stack]
        assert where["AssignPublicIp"] == "DISABLED"
    for kind in ("VPC", "Subnet", "NatGateway", "VPCEndpoint"):
        assert not of(apart[stack], f"AWS::EC2::{kind}")


@pytest.mark.parametrize("stack", APART_STACKS)
def test_a_database_of_another_stack_lets_the_workers_in(
    apart: dict[str, dict[str, Any]], stack: str
) -> None:
    """Both rules are in the workers' stack: 5432 from their group in, and out to the database's.

    The database's stack needs nothing of the workers', so none waits for the other in a circle.
    """
    databases = apart["databases"]
    (group,) = of(apart[stack], "AWS::EC2::SecurityGroup")
    workers = {"Fn::GetAtt": [group, "GroupId"]}
    database = {
        "next-to-it": {"Fn::GetAtt": [*of(databases, "AWS::EC2::SecurityGroup"), "GroupId"]},
        "known-by-ids": "sg-0123456789abcdef0",
    }[stack]
    (rule_in,) = of(apart[stack], "AWS::EC2::SecurityGroupIngress").values()
    (rule_out,) = of(apart[stack], "AWS::EC2::SecurityGroupEgress").values()

    for rule in (rule_in, rule_out):
        assert (rule["FromPort"], rule["ToPort"], rule["IpProtocol"]) == (5432, 5432, "tcp")
    assert rule_in["SourceSecurityGroupId"] == rule_out["GroupId"] == workers
    exports = exported(databases)
    assert imported(rule_in["GroupId"], exports) == database
    assert imported(rule_out["DestinationSecurityGroupId"], exports) == database
    for service in of(apart[stack], "AWS::ECS::Service").values():
        where = service["NetworkConfiguration"]["AwsvpcConfiguration"]
        assert where["SecurityGroups"] == [workers]
    assert not of(databases, "AWS::EC2::SecurityGroupIngress")
    assert "next-to-it" not in json.dumps(databases)


@pytest.mark.parametrize("stack", APART_STACKS)
def test_workers_get_a_secret_of_another_stack(
    apart: dict[str, dict[str, Any]], stack: str
) -> None:
    """Each worker has it as a variable, ECS may read it, and each has the policy's rights."""
    template = apart[stack]
    secret = {
        "next-to-it": {"Ref": next(iter(of(apart["databases"], "AWS::SecretsManager::Secret")))},
        "known-by-ids": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:shop-a1b2c3",
    }[stack]
    exports = exported(apart["databases"])
    found = containers(template, "Tasks")

    assert len(found) == 2
    for container in found:
        [given] = container["Secrets"]
        assert given["Name"] == "DATABASE_PASSWORD"
        assert imported(given["ValueFrom"], exports) == secret
    for queue in ("Default", "MyQueue"):
        execution = granted(template, f"TasksWorkers{queue}WorkersExecutionRole")
        assert imported(execution["secretsmanager:GetSecretValue"], exports) == secret
        task = granted(template, f"TasksWorkers{queue}WorkersTaskRole")
        assert task["bedrock:InvokeModel"] == "arn:aws:m"


def test_two_of_them_share_no_name(template: dict[str, Any]) -> None:
    """Each physical name occurs once; one deployment's is given, the other's is derived."""
    kinds = {
        "AWS::DynamoDB::Table": "TableName",
        "AWS::SQS::Queue": "QueueName",
        "AWS::ECS::Cluster": "ClusterName",
        "AWS::Lambda::Function": "FunctionName",
        "AWS::Logs::LogGroup": "LogGroupName",
        "AWS::SNS::Topic": "TopicName",
        "AWS::CloudWatch::Alarm": "AlarmName",
        "AWS::CloudWatch::Dashboard": "DashboardName",
        "AWS::Scheduler::ScheduleGroup": "Name",
    }
    for kind, key in kinds.items():
        names = [json.dumps(each[key]) for each in of(template, kind).values() if key in each]
        assert len(names) >= 2, kind
        assert len(set(names)) == len(names), kind
        assert any("celeriac-other" in name or "celeriac/other" in name for name in names), kind


def test_it_breaks_no_rule_inside_another_stack(template: dict[str, Any], project: Path) -> None:
    """cdk-nag finds what the stack's own resources break, and nothing of the construct's.

    What the stack granted itself is the stack's to accept: the read of a bucket.
    """
    report = json.loads((project / "out" / "validation-report.json").read_text())
    found = [
        (violation["ruleName"], construct["constructPath"])
        for plugin in report["pluginReports"]
        for violation in plugin.get("violations", [])
        for construct in violation["violatingConstructs"]
    ]

    assert any(path.startswith("shop/Invoices") for _, path in found)
    ours = [
        each
        for each in found
        if each[1].startswith(("shop/Tasks", "shop/Other"))
        and not each[0].startswith("AwsSolutions-IAM5[Action::s3:")
        and "Invoices" not in each[0]
    ]
    assert ours == []


def test_the_function_serves_a_project_that_has_no_api_of_its_own(
    template: dict[str, Any],
) -> None:
    """One task file is enough: the library's handlers serve it, and fire its schedules."""
    functions = of(template, "AWS::Lambda::Function", "TasksApi").values()

    assert sorted(each["Handler"] for each in functions) == [
        "celeriac.http.handler.handler",
        "celeriac.http.handler.handler",
        "celeriac.operations.fire_function.handler",
    ]


def test_the_image_is_built_from_the_wheel_and_the_project(
    template: dict[str, Any], project: Path
) -> None:
    """The context has the library as it was installed, the task file, and a Dockerfile."""
    assets = json.loads((project / "out" / "shop.assets.json").read_text())
    for image in assets["dockerImages"].values():
        context = project / "out" / image["source"]["directory"]
        assert (context / "Dockerfile").is_file()
        assert (context / "requirements.txt").read_text() == ""
        assert (context / "app" / "tasks" / "bill_order.py").read_text() == TASK
        assert (context / "app" / "celeriac" / "worker" / "__main__.py").is_file()
        assert not (context / "app" / "celeriac" / "cdk").exists()


WRONG = """
import json
from aws_cdk import App, Stack
from celeriac import catalogue
from celeriac.cdk import Celeriac, Environment

said = []
for options in %r:
    try:
        eval(f"Celeriac(Stack(App(), 'shop'), 'Tasks', catalogue=catalogue(), {options})")
    except (TypeError, ValueError) as error:
        said.append(str(error))
print(json.dumps(said))
"""
#: Options, and a part of the sentence that each gets.
SENTENCES = {
    "name='Shop!'": "use up to 15 lower-case letters",
    "name='a', deployment=Environment(name='b', protect=False)": "a name and a deployment",
    "environment={'CELERIAC_TABLE_NAME': 'x'}": "CELERIAC_TABLE_NAME is a setting",
    "environment={'PORT': 5432}": "environment['PORT'] is of type int. A variable's value is",
    "secrets={'TOKEN': 'hunter 2'}": "names neither a secret nor a parameter",
    "secrets={'TOKEN': 5}": "give a secret of Secrets Manager",
    "environment={'A': 'x'}, secrets={'A': 'x'}": "A is in environment and in secrets",
    "project='nowhere'": "locks/worker.txt is missing",
    "packages=['common']": "There is no package 'common'",
}


def test_a_wrong_input_is_one_sentence(run: Run) -> None:
    """The sentence names the input, and what to give instead."""
    done = run(WRONG % list(SENTENCES))

    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    for part, sentence in zip(SENTENCES.values(), said, strict=True):
        assert part in sentence
        assert len(sentence.splitlines()) == 1
