"""Apps that have Celeriac's construct in a stack of theirs, and what reads their templates."""

from __future__ import annotations

from typing import Any

TASK = '''
from celeriac import BaseModel, Queue, TaskContext, task


class Order(BaseModel):
    number: int


@task(queue=Queue("my-queue"))
def bill_order(payload: Order, context: TaskContext) -> Order:
    """Bill an order."""
    return payload
'''

STACK = """
import sys

from aws_cdk import App, SecretValue, Stack, Validations, aws_ec2, aws_iam, aws_s3
from aws_cdk import aws_secretsmanager, aws_ssm
from cdk_nag import AwsSolutionsChecks

from celeriac import catalogue
from celeriac.cdk import Celeriac

app = App(outdir=sys.argv[1], context={"aws:cdk:bundling-stacks": []})
stack = Stack(app, "shop")
vpc = aws_ec2.Vpc(stack, "Vpc", max_azs=2, nat_gateways=1)
database = aws_ec2.SecurityGroup(stack, "Database", vpc=vpc)
bucket = aws_s3.Bucket(stack, "Invoices")
password = aws_secretsmanager.Secret(stack, "Password")
token = aws_ssm.StringParameter.from_secure_string_parameter_attributes(
    stack, "Token", parameter_name="/shop/token"
)
tasks = Celeriac(
    stack,
    "Tasks",
    catalogue=catalogue(),
    vpc=vpc,
    environment={"INVOICES": bucket.bucket_name},
    secrets={"DATABASE_PASSWORD": password, "SHOP_TOKEN": token},
    policy=lambda role, queue: bucket.grant_read(role),
)
database.connections.allow_from(tasks, aws_ec2.Port.POSTGRES, "tasks")
other = Celeriac(
    stack,
    "Other",
    catalogue=catalogue(),
    name="other",
    policy=[aws_iam.PolicyStatement(actions=["bedrock:InvokeModel"], resources=["arn:aws:m"])],
)
assert set(tasks.queues) == set(tasks.fleets) == {"default", "my-queue"}
assert tasks.vpc is vpc and other.vpc is not vpc
for each in (tasks.table, tasks.bucket, tasks.cluster, tasks.api.function, tasks.url):
    assert each
Validations.of(app).add_plugins(AwsSolutionsChecks(app))
try:
    app.synth()
except RuntimeError:
    pass  # the rules that the stack's own resources break
"""

#: An app whose network and database exist already: in other stacks, or outside of it.
APART = """
import sys

from aws_cdk import App, Stack, aws_ec2, aws_iam, aws_secretsmanager

from celeriac import catalogue
from celeriac.cdk import Celeriac

app = App(outdir=sys.argv[1], context={"aws:cdk:bundling-stacks": []})


def add_tasks(stack, vpc, database, password):
    tasks = Celeriac(
        stack,
        "Tasks",
        catalogue=catalogue(),
        vpc=vpc,
        secrets={"DATABASE_PASSWORD": password},
        policy=[aws_iam.PolicyStatement(actions=["bedrock:InvokeModel"], resources=["arn:aws:m"])],
    )
    tasks.connections.allow_to(database, aws_ec2.Port.POSTGRES, "tasks")


network = Stack(app, "network")
vpc = aws_ec2.Vpc(network, "Vpc", max_azs=2, nat_gateways=1)
databases = Stack(app, "databases")
add_tasks(
    Stack(app, "next-to-it"),
    vpc,
    aws_ec2.SecurityGroup(databases, "Database", vpc=vpc),
    aws_secretsmanager.Secret(databases, "Password"),
)

known = Stack(app, "known-by-ids")
add_tasks(
    known,
    aws_ec2.Vpc.from_vpc_attributes(
        known,
        "Vpc",
        vpc_id="vpc-0123456789abcdef0",
        availability_zones=["eu-central-1a", "eu-central-1b"],
        private_subnet_ids=["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"],
    ),
    aws_ec2.SecurityGroup.from_security_group_id(known, "Database", "sg-0123456789abcdef0"),
    aws_secretsmanager.Secret.from_secret_complete_arn(
        known, "Password", "arn:aws:secretsmanager:eu-central-1:123456789012:secret:shop-a1b2c3"
    ),
)
app.synth()
"""


def of(template: dict[str, Any], type: str, prefix: str = "") -> dict[str, dict[str, Any]]:
    """The properties of the resources of a type, by their logical ids."""
    return {
        id: each.get("Properties", {})
        for id, each in template["Resources"].items()
        if each["Type"] == type and id.startswith(prefix)
    }


def containers(template: dict[str, Any], prefix: str) -> list[dict[str, Any]]:
    return [
        container
        for task in of(template, "AWS::ECS::TaskDefinition", prefix).values()
        for container in task["ContainerDefinitions"]
    ]


def granted(template: dict[str, Any], role: str) -> dict[str, Any]:
    """The resources of each action that the policies of a role allow."""
    return {
        action: statement["Resource"]
        for policy in of(template, "AWS::IAM::Policy").values()
        if any(each["Ref"].startswith(role) for each in policy["Roles"])
        for statement in policy["PolicyDocument"]["Statement"]
        for action in (
            [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
        )
    }


def exported(template: dict[str, Any]) -> dict[str, Any]:
    """What a stack gives to others: each value by its name."""
    return {each["Export"]["Name"]: each["Value"] for each in template["Outputs"].values()}


def imported(value: Any, exports: dict[str, Any]) -> Any:
    """A value of a template, or what it stands for in the stack that it comes from."""
    return exports[value["Fn::ImportValue"]] if isinstance(value, dict) else value
