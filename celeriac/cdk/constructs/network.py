"""How workers reach AWS. Nothing in it listens: workers only ever call out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from aws_cdk import Fn, aws_ec2
from constructs import Construct

from celeriac.cdk.environment import Environment
from celeriac.cdk.nag import accept
from celeriac.cdk.options import ExistingVpc, Network
from celeriac.cdk.reach import AnySecret, Store, stores_of
from celeriac.contract import Catalogue

# What a worker calls that has no free gateway endpoint: its queue, its image, its log, schedules,
# other queues' services, and SES if it mails. Task protection and credentials come from addresses
# inside the task itself.
_INTERFACES = {
    "Sqs": aws_ec2.InterfaceVpcEndpointAwsService.SQS,
    "EcrApi": aws_ec2.InterfaceVpcEndpointAwsService.ECR,
    "EcrDocker": aws_ec2.InterfaceVpcEndpointAwsService.ECR_DOCKER,
    "Logs": aws_ec2.InterfaceVpcEndpointAwsService.CLOUDWATCH_LOGS,
    "Ecs": aws_ec2.InterfaceVpcEndpointAwsService.ECS,
    "Scheduler": aws_ec2.InterfaceVpcEndpointAwsService("scheduler"),
}
_MAIL = {"Mail": aws_ec2.InterfaceVpcEndpointAwsService.EMAIL}
_STORES: dict[Store, dict[str, aws_ec2.InterfaceVpcEndpointAwsService]] = {
    "parameters": {"Parameters": aws_ec2.InterfaceVpcEndpointAwsService.SSM},
    "secrets": {"Secrets": aws_ec2.InterfaceVpcEndpointAwsService.SECRETS_MANAGER},
}

_SUBNETS = {
    "public": [aws_ec2.SubnetType.PUBLIC],
    "nat": [aws_ec2.SubnetType.PUBLIC, aws_ec2.SubnetType.PRIVATE_WITH_EGRESS],
    "endpoints": [aws_ec2.SubnetType.PRIVATE_ISOLATED],
}


#: How many zones a network of the deployment's own spans.
_ZONES = 2

HTTPS = {443: "AWS, and what tasks call"}
_SMTP = {465: "mail over TLS", 587: "mail over STARTTLS"}


def outbound(egress_ports: Iterable[int], *, smtp: bool = False) -> dict[int, str]:
    """The TCP ports that workers may call: that of HTTPS, these, and those of SMTP servers."""
    return {
        **HTTPS,
        **dict.fromkeys(egress_ports, "what tasks call"),
        **(_SMTP if smtp else {}),
    }


class WorkerNetwork(Construct):
    """The network of the workers: a VPC, their subnets in it, and their security group.

    ``assign_public_ip`` says whether a worker has an address of its own. The security group lets
    ``ports`` out and nothing in. ``security_groups`` are that one and those that exist.
    """

    vpc: aws_ec2.IVpc
    subnets: aws_ec2.SubnetSelection
    assign_public_ip: bool
    security_group: aws_ec2.SecurityGroup
    security_groups: list[aws_ec2.ISecurityGroup]

    def _make_security_group(
        self, ports: Mapping[int, str], more: Sequence[aws_ec2.ISecurityGroup] = ()
    ) -> aws_ec2.SecurityGroup:
        group = aws_ec2.SecurityGroup(
            self,
            "Workers",
            vpc=self.vpc,
            description="Workers: calls out, nothing in.",
            allow_all_outbound=False,
        )
        for port, what in ports.items():
            group.add_egress_rule(aws_ec2.Peer.any_ipv4(), aws_ec2.Port.tcp(port), what)
        self.security_groups = [group, *more]
        return group


class GivenNetwork(WorkerNetwork):
    """A VPC that exists: workers run in ``subnets``, or in its private ones if it has any.

    Without subnets that reach the internet through a NAT gateway, they run in its public ones with
    an address of their own. In isolated subnets they reach AWS through the VPC's own endpoints:
    SQS, ECR, CloudWatch Logs, ECS, EventBridge Scheduler, S3, DynamoDB, and SES if they mail.

    Workers have ``security_groups`` besides their own.

    Raises:
        ValueError: the VPC has no subnets.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        vpc: aws_ec2.IVpc,
        subnets: aws_ec2.SubnetSelection | None = None,
        assign_public_ip: bool | None = None,
        security_groups: Sequence[aws_ec2.ISecurityGroup] = (),
        ports: Mapping[int, str] = HTTPS,
    ) -> None:
        super().__init__(scope, id)
        self.vpc = vpc
        if subnets:
            self.subnets = subnets
            self.assign_public_ip = (
                chosen_subnets(vpc, subnets).has_public
                if assign_public_ip is None
                else assign_public_ip
            )
        else:
            self._choose_subnets(vpc)
        self.security_group = self._make_security_group(ports, security_groups)

    @classmethod
    def named(
        cls, scope: Construct, id: str, *, names: ExistingVpc, ports: Mapping[int, str]
    ) -> GivenNetwork:
        """The network of these ids."""
        room = Construct(scope, f"Existing{id}")
        # Nothing of a worker asks for the zones, but an imported VPC must have some.
        zones = [f"zone-{place}" for place, _ in enumerate(names.subnets)]
        vpc = aws_ec2.Vpc.from_vpc_attributes(
            room,
            "Vpc",
            vpc_id=names.id,
            availability_zones=zones,
            private_subnet_ids=list(names.subnets),
        )
        accept(
            room,
            "Annotation::@aws-cdk/aws-ec2:noSubnetRouteTableId",
            "Workers run in these subnets; their routes are not this deployment's.",
        )
        return cls(
            scope,
            id,
            vpc=vpc,
            subnets=aws_ec2.SubnetSelection(subnets=vpc.private_subnets),
            assign_public_ip=names.public,
            security_groups=[
                aws_ec2.SecurityGroup.from_security_group_id(room, each, each, mutable=False)
                for each in names.security_groups
            ],
            ports=ports,
        )

    def _choose_subnets(self, vpc: aws_ec2.IVpc) -> None:
        kinds = {
            aws_ec2.SubnetType.PRIVATE_WITH_EGRESS: vpc.private_subnets,
            aws_ec2.SubnetType.PUBLIC: vpc.public_subnets,
            aws_ec2.SubnetType.PRIVATE_ISOLATED: vpc.isolated_subnets,
        }
        kind = next((kind for kind, subnets in kinds.items() if subnets), None)
        if kind is None:
            raise ValueError(f"{vpc.node.path} has no subnets for workers: give it some.")
        self.subnets = aws_ec2.SubnetSelection(subnet_type=kind)
        self.assign_public_ip = kind is aws_ec2.SubnetType.PUBLIC


def chosen_subnets(vpc: aws_ec2.IVpc, chosen: aws_ec2.SubnetSelection) -> aws_ec2.SelectedSubnets:
    """The subnets of a selection. jsii's structs can't be handed on as keyword arguments."""
    return vpc.select_subnets(
        availability_zones=chosen.availability_zones,
        one_per_az=chosen.one_per_az,
        subnet_filters=chosen.subnet_filters,
        subnet_group_name=chosen.subnet_group_name,
        subnet_type=chosen.subnet_type,
        subnets=chosen.subnets,
    )


class OwnNetwork(WorkerNetwork):
    """A VPC of the deployment's own, over two zones.

    S3 and DynamoDB are reached through gateway endpoints, which are free, in every mode. ``mail``
    says whether workers call SES, and ``stores`` where ECS reads their secrets. ``zones`` are names
    of availability zones: Fargate isn't in every zone of some regions.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        mode: Network,
        ports: Mapping[int, str] = HTTPS,
        mail: bool = False,
        stores: Collection[Store] = (),
        zones: Sequence[str] = (),
    ) -> None:
        super().__init__(scope, id)
        self.assign_public_ip = mode == "public"
        self.vpc = aws_ec2.Vpc(
            self,
            # Each mode has a VPC of its own. CloudFormation creates the new before it deletes the
            # old: in one VPC, new subnets would need the addresses that the old ones still have.
            f"{mode.title()}Vpc",
            availability_zones=list(zones)
            or [Fn.select(place, Fn.get_azs()) for place in range(_ZONES)],
            nat_gateways=1 if mode == "nat" else 0,
            restrict_default_security_group=False,
            subnet_configuration=[
                aws_ec2.SubnetConfiguration(
                    name=kind.name.partition("_")[0].title(),
                    subnet_type=kind,
                    cidr_mask=20,
                    map_public_ip_on_launch=False if kind is aws_ec2.SubnetType.PUBLIC else None,
                )
                for kind in _SUBNETS[mode]
            ],
            gateway_endpoints={
                "S3": aws_ec2.GatewayVpcEndpointOptions(
                    service=aws_ec2.GatewayVpcEndpointAwsService.S3
                ),
                "DynamoDb": aws_ec2.GatewayVpcEndpointOptions(
                    service=aws_ec2.GatewayVpcEndpointAwsService.DYNAMODB
                ),
            },
        )
        accept(
            self.vpc,
            "AwsSolutions-VPC7",
            "Nothing in this network listens; what workers do is in their logs and task records.",
        )
        if zones:
            accept(
                self.vpc,
                "CloudFormation-Validate::W3010",
                "The zones are named on purpose: Fargate isn't in all of them.",
            )
        self.subnets = aws_ec2.SubnetSelection(subnet_type=_SUBNETS[mode][-1])
        self.security_group = self._make_security_group(ports)
        if mode == "endpoints":
            interfaces = _INTERFACES | (_MAIL if mail else {})
            for store in sorted(stores):
                interfaces |= _STORES[store]
            self._add_interfaces(interfaces)

    def _add_interfaces(
        self, interfaces: Mapping[str, aws_ec2.InterfaceVpcEndpointAwsService]
    ) -> None:
        doors = aws_ec2.SecurityGroup(
            self,
            "Endpoints",
            vpc=self.vpc,
            description="Interface endpoints: HTTPS in from workers, nothing out.",
            allow_all_outbound=False,
        )
        doors.add_ingress_rule(self.security_group, aws_ec2.Port.HTTPS, "workers")
        for name, service in interfaces.items():
            self.vpc.add_interface_endpoint(
                name,
                service=service,
                subnets=self.subnets,
                security_groups=[doors],
                open=False,
            )


def worker_network(
    scope: Construct,
    id: str,
    *,
    environment: Environment,
    catalogue: Catalogue,
    secrets: Mapping[str, AnySecret] | None = None,
) -> WorkerNetwork:
    """The network that an environment asks for: a VPC that exists, or one of its own.

    ``secrets`` are those of the workers that neither the environment nor a fleet names.
    """
    ports = outbound(environment.egress_ports, smtp=bool(environment.smtp_secret_arn))
    if environment.vpc:
        return GivenNetwork.named(scope, id, names=environment.vpc, ports=ports)
    return OwnNetwork(
        scope,
        id,
        mode=environment.network,
        ports=ports,
        mail=environment.ses_mail is not None,
        stores=stores_of(environment, catalogue, secrets or {}),
        zones=environment.availability_zones,
    )
