"""How workers reach AWS. Nothing in it listens: workers only ever call out."""

from __future__ import annotations

from collections.abc import Mapping

from aws_cdk import aws_ec2
from constructs import Construct

from infra.cdk.environments import Network

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

_SUBNETS = {
    "public": [aws_ec2.SubnetType.PUBLIC],
    "nat": [aws_ec2.SubnetType.PUBLIC, aws_ec2.SubnetType.PRIVATE_WITH_EGRESS],
    "endpoints": [aws_ec2.SubnetType.PRIVATE_ISOLATED],
}


class WorkerNetwork(Construct):
    """A VPC over two zones, the subnets of the workers, and their security group.

    S3 and DynamoDB are reached through gateway endpoints, which are free, in every mode. The
    security group lets ``ports`` out and nothing in. ``mail`` says whether workers call SES.
    """

    def __init__(
        self, scope: Construct, id: str, *, mode: Network, ports: Mapping[int, str], mail: bool
    ) -> None:
        super().__init__(scope, id)
        self.assign_public_ip = mode == "public"
        self.vpc = aws_ec2.Vpc(
            self,
            # A VPC of its own for each mode, for CloudFormation makes the new before it deletes the
            # old: in one VPC, new subnets would need the addresses that the old ones still have.
            f"{mode.title()}Vpc",
            max_azs=2,
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
        self.subnets = aws_ec2.SubnetSelection(subnet_type=_SUBNETS[mode][-1])
        self.security_group = aws_ec2.SecurityGroup(
            self,
            "Workers",
            vpc=self.vpc,
            description="Workers: calls out, nothing in.",
            allow_all_outbound=False,
        )
        for port, what in ports.items():
            self.security_group.add_egress_rule(
                aws_ec2.Peer.any_ipv4(), aws_ec2.Port.tcp(port), what
            )
        if mode == "endpoints":
            self._add_interfaces(_INTERFACES | _MAIL if mail else _INTERFACES)

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
