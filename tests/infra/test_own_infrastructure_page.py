"""docs/own-infrastructure.md: what the constructs hand out, and both examples by template."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack
from constructs import Construct

from celeriac import catalogue
from celeriac.cdk import Celeriac, Domain
from celeriac.cdk.task_api import FUNCTION_TIMEOUT
from infra.cdk.app import compose
from infra.cdk.environments import DEV
from tasks.queues import FILES
from tests.architecture.pages import ROOT, code_blocks, tables
from tests.doors.stacks import containers, granted, of
from tests.infra.conftest import context
from tests.infra.pages import synthesize, write_project

PAGE = ROOT / "docs/own-infrastructure.md"

TASK = """
from celeriac import BaseModel, Fleet, Queue, TaskContext, task

class File(BaseModel):
    name: str

@task(queue=Queue("files"))
def read_file(payload: File, context: TaskContext) -> File:
    "Read a file."
    return payload
"""
FILES_APP = """
from aws_cdk import App
from infra.shared_files import Shop
app = App()
Shop(app, "shop")
app.synth()
"""
EDGE_APP = "from infra.edge import main\nmain('123456789012', 'eu-central-1')"
EDGE_OF_THE_APPLICATION = """
from dataclasses import replace
from aws_cdk import App
from celeriac import catalogue
from infra.cdk.app import compose
from infra.cdk.environments import DEV
from infra.edge import Edge
app = App()
environment = replace(DEV, account="123456789012", region="eu-central-1")
api = compose(app, environment, catalogue()).api
Edge(app, "edge", account="123456789012", host=api.tasks.host)
app.synth()
"""
#: docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/using-managed-cache-policies.html
CACHING_DISABLED = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
#: The same guide's using-managed-origin-request-policies.html
ALL_VIEWER_EXCEPT_HOST_HEADER = "b689b0a8-53d0-40ab-baf2-68738e2966ac"
#: The same guide's DownloadDistValuesOrigin.html
CLOUDFRONT_WAITS = timedelta(seconds=30)


def project(folder: Path) -> Path:
    write_project(folder, PAGE)
    (folder / "tasks/read_file.py").write_text(TASK)
    return folder


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The template of the stack with the file system."""
    return synthesize(project(tmp_path_factory.mktemp("shared")), FILES_APP)["shop"]


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The templates of the stack with the API, and of the one before it."""
    return synthesize(project(tmp_path_factory.mktemp("edge")), EDGE_APP)


def test_the_constructs_hand_out_what_the_table_says(tmp_path: Path) -> None:
    """Each expression of the table is a construct, or a value of one."""
    app = App(outdir=str(tmp_path), context=context())
    system = compose(app, DEV, catalogue())
    names = {
        "FILES": FILES,
        **{name: getattr(system, name) for name in ("data", "workers", "api", "ops")},
        "tasks": Celeriac(Stack(app, "shop"), "Tasks", catalogue=catalogue(), project=ROOT),
    }
    rows = tables(PAGE)[0]
    expressions = [
        expression
        for _, *cells in rows
        for cell in cells
        for expression in re.findall(r"`(.+?)`", cell)
    ]

    assert len(expressions) >= 2 * len(rows)
    for expression in expressions:
        found = eval(expression, {}, names)
        assert found is not None, expression
        assert isinstance(found, Construct | str) or hasattr(found, "security_groups"), expression


def test_the_lines_for_the_file_system_work_in_the_applications_stack(
    tmp_path: Path, shared: dict[str, Any]
) -> None:
    """With the names that the page tells for ``infra/cdk``, they make the same mount."""
    (text,) = [each.text for each in code_blocks("python", PAGE) if "EfsVolume" in each.text]
    imports = "from aws_cdk import aws_ecs, aws_efs\nfrom tasks.queues import FILES\n"
    lines = text[text.index("        files = ") :]
    for construct, stack in (
        ("vpc=vpc", "vpc=network.vpc"),
        ("(tasks)", "(network.security_group)"),
        ('tasks.fleets["files"]', "self.fleets.services[FILES]"),
    ):
        assert construct in lines
        lines = lines.replace(construct, stack)
    (user,) = re.findall(r"^WORKER = .*$", text, re.MULTILINE)
    folder = project(tmp_path)
    shutil.copytree(ROOT / "infra", folder / "infra", dirs_exist_ok=True)
    shutil.copy(ROOT / "tasks/queues.py", folder / "tasks")
    (folder / "tasks/read_file.py").write_text(
        "from tasks.queues import FILES\n" + TASK.replace('Queue("files")', "FILES")
    )
    path = folder / "infra/cdk/stacks/workers.py"
    before, property, after = path.read_text().partition("\n    @property\n")
    head, marker, rest = before.partition("import jsii\n")
    path.write_text(f"{head}{marker}{imports}{user}\n{rest}{lines}{property}{after}")

    made = synthesize(folder, "from infra.cdk.app import main\nmain()")["celeriac-dev-workers"]

    ((_, task),) = of(made, "AWS::ECS::TaskDefinition", "FilesWorkers").items()
    (theirs,) = of(shared, "AWS::ECS::TaskDefinition", "TasksWorkersFilesWorkers").values()
    assert mounts(task["ContainerDefinitions"][0]) == mounts(theirs["ContainerDefinitions"][0])
    assert len(of(made, "AWS::EFS::MountTarget")) == 2
    assert "elasticfilesystem:ClientMount" in granted(made, "FilesWorkersTaskRole")


def test_the_edge_works_with_the_applications_stacks(tmp_path: Path) -> None:
    """``Edge`` at the end of ``compose``, as the page tells for ``infra/cdk``."""
    folder = project(tmp_path)
    shutil.copytree(ROOT / "infra", folder / "infra", dirs_exist_ok=True)

    made = synthesize(folder, EDGE_OF_THE_APPLICATION)

    (distribution,) = of(made["edge"], "AWS::CloudFront::Distribution").values()
    (origin,) = distribution["DistributionConfig"]["Origins"]
    assert ".execute-api.eu-central-1." in json.dumps(origin["DomainName"])


def test_the_apis_name_is_its_own_domain_where_it_has_one(tmp_path: Path) -> None:
    """A plain name, which a stack of any region can use."""
    domain = Domain(name="api.shop.net", zone_name="shop.net", zone_id="Z0123456789")
    app = App(outdir=str(tmp_path), context=context())

    system = compose(app, replace(DEV, domain=domain), catalogue())

    assert system.api.tasks.host == "api.shop.net"


def mounts(container: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["ContainerPath"]: each for each in container["MountPoints"]}


def test_the_workers_of_one_queue_mount_the_file_system(shared: dict[str, Any]) -> None:
    """By its access point, encrypted and by IAM. The root file system stays read-only."""
    ((file_system, _),) = of(shared, "AWS::EFS::FileSystem").items()
    ((point, properties),) = of(shared, "AWS::EFS::AccessPoint").items()
    ((_, task),) = of(shared, "AWS::ECS::TaskDefinition", "TasksWorkersFilesWorkers").items()
    (container,) = task["ContainerDefinitions"]
    (volume,) = [each for each in task["Volumes"] if each["Name"] == "shared"]
    (others,) = containers(shared, "TasksWorkersDefaultWorkers")

    assert volume["EFSVolumeConfiguration"] == {
        "FilesystemId": {"Ref": file_system},
        "TransitEncryption": "ENABLED",
        "AuthorizationConfig": {"AccessPointId": {"Ref": point}, "IAM": "ENABLED"},
    }
    assert mounts(container)["/mnt/shared"]["ReadOnly"] is False
    assert container["ReadonlyRootFilesystem"] is True
    assert set(mounts(container)) == {"/tmp", "/mnt/shared"}
    assert set(mounts(others)) == {"/tmp"}
    dockerfile = (ROOT / "worker/Dockerfile").read_text()
    user = properties["PosixUser"]
    assert f"USER {user['Uid']}:{user['Gid']}" in dockerfile


def test_only_the_role_of_that_queue_may_mount_it(shared: dict[str, Any]) -> None:
    """The network is the same for all workers; IAM is not."""
    mine = granted(shared, "TasksWorkersFilesWorkersTaskRole")
    others = granted(shared, "TasksWorkersDefaultWorkersTaskRole")

    assert {"elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"} <= set(mine)
    assert not any(action.startswith("elasticfilesystem:") for action in others)
    (files,) = of(shared, "AWS::EFS::FileSystem").values()
    anyone = json.dumps(files["FileSystemPolicy"])
    assert "ClientMount" not in anyone
    assert "elasticfilesystem:*" not in anyone


def test_the_nfs_port_is_open_from_the_workers_alone(shared: dict[str, Any]) -> None:
    """2049 in at the file system, and out at the workers."""
    (workers,) = of(shared, "AWS::EC2::SecurityGroup", "TasksWorkers")
    (files,) = of(shared, "AWS::EC2::SecurityGroup", "Files")
    (into,) = of(shared, "AWS::EC2::SecurityGroupIngress").values()
    (out,) = of(shared, "AWS::EC2::SecurityGroupEgress").values()

    assert into["FromPort"] == into["ToPort"] == out["FromPort"] == out["ToPort"] == 2049
    assert into["SourceSecurityGroupId"] == out["GroupId"] == {"Fn::GetAtt": [workers, "GroupId"]}
    assert into["GroupId"] == {"Fn::GetAtt": [files, "GroupId"]}


def test_a_worker_starts_only_once_it_can_mount(shared: dict[str, Any]) -> None:
    """The check of the new task definition runs one before the service changes."""
    resources = shared["Resources"]
    task = next(
        each
        for id, each in resources.items()
        if each["Type"] == "AWS::ECS::TaskDefinition" and id.startswith("TasksWorkersFilesWorkers")
    )
    needed = {
        id
        for id, each in resources.items()
        if each["Type"] in {"AWS::EFS::MountTarget", "AWS::EC2::SecurityGroupIngress"}
    }

    assert len(needed) == 3
    assert needed <= set(task["DependsOn"])


def test_the_distribution_forwards_all_to_the_api_and_keeps_nothing(
    edge: dict[str, dict[str, Any]],
) -> None:
    """Every method and header but ``Host``, over TLS to the API's own name, without a cache."""
    (distribution,) = of(edge["shop-edge"], "AWS::CloudFront::Distribution").values()
    config = distribution["DistributionConfig"]
    behaviour = config["DefaultCacheBehavior"]
    (origin,) = config["Origins"]

    assert behaviour["CachePolicyId"] == CACHING_DISABLED
    assert behaviour["OriginRequestPolicyId"] == ALL_VIEWER_EXCEPT_HOST_HEADER
    assert {"GET", "POST", "DELETE", "OPTIONS"} <= set(behaviour["AllowedMethods"])
    assert behaviour["ViewerProtocolPolicy"] == "https-only"
    assert origin["CustomOriginConfig"]["OriginProtocolPolicy"] == "https-only"
    assert ".execute-api.eu-central-1." in json.dumps(origin["DomainName"])
    ((api, _),) = of(edge["shop"], "AWS::ApiGatewayV2::Api").items()
    (exported,) = of(edge["shop"], "Custom::CrossRegionExportWriter").values()
    assert exported["WriterProps"]["region"] == "us-east-1"
    assert {"Ref": api} in exported["WriterProps"]["exports"].values()
    # The longest poll ends before CloudFront gives up.
    waits = origin["CustomOriginConfig"].get("OriginReadTimeout", 30)
    assert timedelta(seconds=waits) == CLOUDFRONT_WAITS > FUNCTION_TIMEOUT


def test_the_web_acl_is_the_distributions(edge: dict[str, dict[str, Any]]) -> None:
    """Of CloudFront's scope, in us-east-1; it blocks by reputation and by rate."""
    ((id, acl),) = of(edge["shop-edge"], "AWS::WAFv2::WebACL").items()
    (distribution,) = of(edge["shop-edge"], "AWS::CloudFront::Distribution").values()

    assert acl["Scope"] == "CLOUDFRONT"
    assert distribution["DistributionConfig"]["WebACLId"] == {"Fn::GetAtt": [id, "Arn"]}
    reputation, rate = acl["Rules"]
    assert reputation["OverrideAction"] == {"None": {}}
    assert rate["Action"] == {"Block": {}}
    assert rate["Statement"]["RateBasedStatement"]["AggregateKeyType"] == "IP"
