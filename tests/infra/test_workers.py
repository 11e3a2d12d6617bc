"""The stack of the workers."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import get_args

import pytest

from celeriac.cdk import Mail, Network
from celeriac.cdk.constructs.worker_service import capacity
from celeriac.cdk.spot import share
from celeriac.contract import (
    BaseModel,
    Catalogue,
    Fleet,
    Queue,
    TaskContext,
    catalogue,
)
from celeriac.contract import task as task_type
from celeriac.settings import Settings
from infra.cdk.environments import DEV
from tests.infra.conftest import OPTIONS, ROOT, SAMPLE, Synthesize, Synthesized, as_list, statements

QUEUES = catalogue().queues


@pytest.mark.parametrize("queue", QUEUES, ids=lambda each: each.name)
def test_each_queue_has_a_service_of_its_fleets_size(dev: Synthesized, queue: Queue) -> None:
    """Size, concurrency and Spot share are the ``Fleet``'s; the container consumes the queue."""
    service = dev.one("workers", "AWS::ECS::Service", ServiceName=queue.name)
    task = dev.template("workers")["Resources"][service["TaskDefinition"]["Ref"]]["Properties"]
    (container,) = task["ContainerDefinitions"]
    variables = {each["Name"]: each["Value"] for each in container["Environment"]}

    assert (int(task["Cpu"]), int(task["Memory"])) == (queue.fleet.cpu, queue.fleet.memory)
    assert task["RuntimePlatform"] == {"CpuArchitecture": "ARM64", "OperatingSystemFamily": "LINUX"}
    assert variables["CELERIAC_QUEUES"] == queue.name
    assert variables["CELERIAC_CONCURRENCY"] == str(queue.fleet.processes)
    strategies = {each["CapacityProvider"]: each for each in service["CapacityProviderStrategy"]}
    weights = {provider: each["Weight"] for provider, each in strategies.items()}
    on_spot = weights.get("FARGATE_SPOT", 0) / sum(weights.values())
    assert on_spot == pytest.approx(share(queue, SAMPLE))
    # The first worker is on demand: a fleet that Spot has nothing for still has that one.
    assert strategies["FARGATE"]["Base"] == 1
    assert container["LinuxParameters"] == {"Capabilities": {}, "InitProcessEnabled": True}


@pytest.mark.parametrize(
    ("spot", "wanted"),
    [
        (0.01, {"FARGATE": 99, "FARGATE_SPOT": 1}),
        (0.7, {"FARGATE": 3, "FARGATE_SPOT": 7}),
        (0.99, {"FARGATE": 1, "FARGATE_SPOT": 99}),
        (1, {"FARGATE_SPOT": 1}),
    ],
)
def test_the_share_on_spot_is_the_one_that_was_asked_for(
    spot: float, wanted: dict[str, int]
) -> None:
    """A hundredth is neither rounded to none nor to all; ECS takes weights up to 1,000."""
    found = {each.capacity_provider: each.weight for each in capacity(spot)}
    assert found == wanted


class Film(BaseModel):
    key: str


@pytest.mark.parametrize(
    ("limits", "spot", "wanted"),
    [
        ([timedelta(seconds=100)], None, 0.7),
        ([timedelta(seconds=101)], None, 0),
        ([timedelta(seconds=10), timedelta(hours=11)], None, 0),
        # Nothing is known of plain Celery tasks.
        ([], None, 0),
        ([timedelta(hours=11)], 0.25, 0.25),
        ([timedelta(seconds=1)], 0, 0),
    ],
)
def test_only_tasks_that_end_within_spots_notice_run_on_spot(
    limits: list[timedelta], spot: float | None, wanted: float
) -> None:
    """Of a longer one each loss of a worker costs all its work; a share that is given stands."""
    queue = Queue("video", fleet=Fleet(spot=spot))

    def encode(payload: Film, context: TaskContext) -> Film:
        """Encode."""
        return payload

    types = [
        task_type(name=f"encode-{number}", queue=queue, time_limit=limit)(encode)
        for number, limit in enumerate(limits)
    ]
    assert share(queue, Catalogue(types, [queue])) == wanted


def test_only_their_policies_set_the_count_of_workers(dev: Synthesized) -> None:
    """A deployment that named a count would set a scaled fleet back."""
    for service in dev.properties("workers", "AWS::ECS::Service"):
        assert "DesiredCount" not in service


def test_ecs_moves_no_worker_to_another_zone(dev: Synthesized, prod: Synthesized) -> None:
    """It would by default: a worker started, and another stopped, after each odd scale-in."""
    for synthesized in (dev, prod):
        for service in synthesized.properties("workers", "AWS::ECS::Service"):
            assert service["AvailabilityZoneRebalancing"] == "DISABLED"


def test_a_bad_deployment_rolls_back_and_a_good_one_never_lowers_the_fleet(
    dev: Synthesized,
) -> None:
    """Circuit breaker with rollback; new workers start before old ones stop."""
    for service in dev.properties("workers", "AWS::ECS::Service"):
        assert service["DeploymentConfiguration"] == {
            "DeploymentCircuitBreaker": {"Enable": True, "Rollback": True},
            "MinimumHealthyPercent": 100,
            "MaximumPercent": 200,
        }
        assert service["EnableExecuteCommand"] is False


def test_containers_can_be_stopped_checked_and_not_written_to(dev: Synthesized) -> None:
    """Two minutes to drain, the liveness probe, exec-form commands, one writable directory."""
    for task in dev.properties("workers", "AWS::ECS::TaskDefinition"):
        (container,) = task["ContainerDefinitions"]
        assert container["StopTimeout"] == 120
        assert Settings().drain_window < timedelta(seconds=container["StopTimeout"])
        assert container["HealthCheck"]["Command"] == [
            "CMD",
            "python",
            "-m",
            "celeriac.worker.health",
        ]
        assert container["Command"] == ["python", "-m", "celeriac.worker"]
        assert container["ReadonlyRootFilesystem"] is True
        (mount,) = container["MountPoints"]
        assert (mount["ContainerPath"], mount["ReadOnly"]) == ("/tmp", False)
        assert container["LogConfiguration"]["LogDriver"] == "awslogs"
        assert container["LogConfiguration"]["Options"]["mode"] == "non-blocking"
        assert container["LogConfiguration"]["Options"]["max-buffer-size"] == "26214400b"


def test_all_workers_share_one_arm_image(dev: Synthesized) -> None:
    """One image asset, built from worker/Dockerfile for ARM."""
    assets = json.loads((dev.directory / "celeriac-dev-workers.assets.json").read_text())
    (image,) = assets["dockerImages"].values()
    context = dev.directory / image["source"]["directory"]
    assert (context / "Dockerfile").read_text() == (ROOT / "worker" / "Dockerfile").read_text()
    assert image["source"]["platform"] == "linux/arm64"


def test_an_smtp_server_is_known_by_a_secret_only(
    dev: Synthesized, with_options: Synthesized
) -> None:
    """The URL with its password is fetched by ECS at start; no template shows it."""
    for task in with_options.properties("workers", "AWS::ECS::TaskDefinition"):
        (container,) = task["ContainerDefinitions"]
        assert [each["Name"] for each in container["Secrets"]] == ["CELERIAC_SMTP_URL"]
    assert "SMTP_URL" not in str(dev.template("workers"))
    ports = [
        rule["FromPort"]
        for rule in with_options.one("workers", "AWS::EC2::SecurityGroup")["SecurityGroupEgress"]
    ]
    assert sorted(ports) == [443, 465, 587, *OPTIONS["egress_ports"]]


def test_the_public_network_costs_nothing_and_lets_nothing_in(dev: Synthesized) -> None:
    """No NAT, no interface endpoints, HTTPS out only, an address for each worker."""
    assert dev.all("workers", "AWS::EC2::NatGateway") == []
    assert {
        each["VpcEndpointType"] for each in dev.properties("workers", "AWS::EC2::VPCEndpoint")
    } == {"Gateway"}
    group = dev.one("workers", "AWS::EC2::SecurityGroup")
    assert "SecurityGroupIngress" not in group
    assert [(rule["FromPort"], rule["ToPort"]) for rule in group["SecurityGroupEgress"]] == [
        (443, 443)
    ]
    for service in dev.properties("workers", "AWS::ECS::Service"):
        network = service["NetworkConfiguration"]["AwsvpcConfiguration"]
        assert network["AssignPublicIp"] == "ENABLED"


def test_the_nat_network_keeps_workers_private(synthesize: Synthesize) -> None:
    """One NAT gateway; workers have no address of their own."""
    nat = synthesize(replace(DEV, network="nat"))

    assert len(nat.all("workers", "AWS::EC2::NatGateway")) == 1
    for service in nat.properties("workers", "AWS::ECS::Service"):
        network = service["NetworkConfiguration"]["AwsvpcConfiguration"]
        assert network["AssignPublicIp"] == "DISABLED"


def test_the_endpoints_network_has_no_way_out(synthesize: Synthesize) -> None:
    """No internet gateway and no NAT: all that workers call has an endpoint, SES if they mail."""
    closed = synthesize(replace(DEV, network="endpoints"))
    mailing = synthesize(replace(DEV, network="endpoints", mail=Mail(sender="tasks@celeriac.dev")))

    assert closed.all("workers", "AWS::EC2::NatGateway") == []
    assert closed.all("workers", "AWS::EC2::InternetGateway") == []
    always = {"sqs", "ecr.api", "ecr.dkr", "ecs", "logs", "scheduler", "s3", "dynamodb"}
    assert endpoints(closed) == always
    assert endpoints(mailing) == always | {"email"}


@pytest.mark.parametrize("network", get_args(Network))
def test_a_service_starts_after_its_way_out_and_ends_before_it(
    synthesize: Synthesize, network: Network
) -> None:
    """Routes, gateways and endpoints are there before a worker fetches its image.

    The capacity providers are the cluster's own, so they go when no service is left to use them.
    """
    workers = synthesize(replace(DEV, network=network))
    resources = workers.template("workers")["Resources"]
    ways = {
        name
        for name, each in resources.items()
        if each["Type"]
        in (
            "AWS::EC2::NatGateway",
            "AWS::EC2::Route",
            "AWS::EC2::SubnetRouteTableAssociation",
            "AWS::EC2::VPCEndpoint",
        )
    }
    (cluster,) = (name for name, each in resources.items() if each["Type"] == "AWS::ECS::Cluster")

    assert ways
    for service in workers.all("workers", "AWS::ECS::Service"):
        assert ways <= set(service["DependsOn"])
        assert service["Properties"]["Cluster"] == {"Ref": cluster}
    assert resources[cluster]["Properties"]["CapacityProviders"] == ["FARGATE", "FARGATE_SPOT"]
    assert workers.all("workers", "AWS::ECS::ClusterCapacityProviderAssociations") == []


def test_a_service_starts_once_its_roles_may_do_what_they_are_for(
    with_options: Synthesized,
) -> None:
    """The policies of both roles, or the first worker may not fetch its image or its secret."""
    resources = with_options.template("workers")["Resources"]
    for service in with_options.all("workers", "AWS::ECS::Service"):
        task = resources[service["Properties"]["TaskDefinition"]["Ref"]]["Properties"]
        for role in ("TaskRoleArn", "ExecutionRoleArn"):
            name = task[role]["Fn::GetAtt"][0]
            policies = {
                key
                for key, each in resources.items()
                if each["Type"] == "AWS::IAM::Policy"
                and {"Ref": name} in each["Properties"]["Roles"]
            }
            assert policies
            assert policies <= set(service["DependsOn"])


def test_only_ecs_takes_a_workers_roles(dev: Synthesized) -> None:
    """The task's for tasks of this account and region alone.

    ECS's own, which fetches the image, has no conditions: AWS documents none for it.
    """
    resources = dev.template("workers")["Resources"]
    for task in dev.properties("workers", "AWS::ECS::TaskDefinition"):
        trusts = {}
        for role in ("TaskRoleArn", "ExecutionRoleArn"):
            properties = resources[task[role]["Fn::GetAtt"][0]]["Properties"]
            (trusts[role],) = properties["AssumeRolePolicyDocument"]["Statement"]
            assert trusts[role]["Principal"] == {"Service": "ecs-tasks.amazonaws.com"}
        conditions = trusts["TaskRoleArn"]["Condition"]
        assert conditions["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
        source = conditions["ArnLike"]["aws:SourceArn"]["Fn::Join"][1]
        assert source[-3:] == [":", {"Ref": "AWS::AccountId"}, ":*"]
        assert "Condition" not in trusts["ExecutionRoleArn"]


def test_another_network_takes_nothing_from_the_one_it_replaces(synthesize: Synthesize) -> None:
    """What has an address range is a resource of its own in each mode, made before the old goes."""
    ranges = [
        {
            name
            for name, each in synthesize(replace(DEV, network=network))
            .template("workers")["Resources"]
            .items()
            if each["Type"] in ("AWS::EC2::VPC", "AWS::EC2::Subnet")
        }
        for network in get_args(Network)
    ]

    assert sum(map(len, ranges)) == len(set.union(*ranges))


def test_a_worker_receives_from_its_own_queue_only(dev: Synthesized) -> None:
    """Receiving is granted on the lanes of one queue, sending on all and to their dead letters."""
    receiving = [
        as_list(statement["Resource"])
        for statement in statements(dev.properties("workers", "AWS::IAM::Policy"))
        if "sqs:ReceiveMessage" in as_list(statement["Action"])
    ]
    sending = [
        as_list(statement["Resource"])
        for statement in statements(dev.properties("workers", "AWS::IAM::Policy"))
        if as_list(statement["Action"]) == ["sqs:SendMessage"]
    ]

    assert len(receiving) == len(QUEUES)
    assert all(len(resources) == 2 for resources in receiving)
    assert len({str(resources) for resources in receiving}) == len(QUEUES)
    assert all(len(resources) == 3 * len(QUEUES) for resources in sending)


def test_a_worker_wakes_every_queue_but_its_own(dev: Synthesized) -> None:
    """Each role names the services of the other queues, one by one."""
    named = [
        str(statement["Resource"])
        for statement in statements(dev.properties("workers", "AWS::IAM::Policy"))
        if "ecs:UpdateService" in as_list(statement["Action"])
    ]
    missing = [
        [each for each in QUEUES if f"service/celeriac-dev/{each.name}'" not in resources]
        for resources in named
    ]

    assert sorted(each.name for (each,) in missing) == sorted(each.name for each in QUEUES)
    assert not any("*" in resources for resources in named)


@pytest.mark.parametrize("stack", ["data", "workers", "api", "delivery"])
def test_no_action_is_granted_by_a_wildcard(with_options: Synthesized, stack: str) -> None:
    """Every action is spelled out."""
    policies = with_options.properties(stack, "AWS::IAM::Policy")
    assert policies
    for statement in statements(policies):
        assert not any("*" in action for action in as_list(statement["Action"]))


def endpoints(synthesized: Synthesized) -> set[str]:
    """What the network has a door to: ``sqs``, ``ecr.api``, …"""
    names = [
        each["ServiceName"] for each in synthesized.properties("workers", "AWS::EC2::VPCEndpoint")
    ]
    # com.amazonaws.REGION.SERVICE, its region a reference.
    return {
        (name if isinstance(name, str) else name["Fn::Join"][1][-1]).removeprefix(".")
        for name in names
    }


def test_a_worker_may_look_at_its_own_service_alone(dev: Synthesized) -> None:
    """It leaves when that shrinks or is deployed again, and must not wake itself."""
    own = [
        str(statement["Resource"])
        for statement in statements(dev.properties("workers", "AWS::IAM::Policy"))
        if as_list(statement["Action"]) == ["ecs:DescribeServices"]
    ]

    assert len(own) == len(QUEUES)
    for queue in QUEUES:
        assert sum(f"service/celeriac-dev/{queue.name}'" in each for each in own) == 1
