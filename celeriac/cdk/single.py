"""Celeriac as one construct, inside a stack of your own.

class Shop(Stack):
    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        vpc = aws_ec2.Vpc(self, "Vpc")
        database = rds.DatabaseInstance(self, "Database", vpc=vpc, ...)
        tasks = Celeriac(
            self,
            "Tasks",
            catalogue=catalogue(),
            vpc=vpc,
            environment={"DATABASE_HOST": database.instance_endpoint.hostname},
            secrets={"DATABASE_PASSWORD": database.secret},
            policy=lambda role, queue: bucket.grant_read(role),
        )
        database.connections.allow_default_port_from(tasks)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import jsii
from aws_cdk import (
    Names,
    aws_dynamodb,
    aws_ec2,
    aws_ecs,
    aws_s3,
)
from constructs import Construct

from celeriac.cdk.constructs.network import GivenNetwork, outbound, worker_network
from celeriac.cdk.constructs.task_queue import TaskQueue
from celeriac.cdk.constructs.worker_service import WorkerService
from celeriac.cdk.environment import LONGEST_NAME, Environment
from celeriac.cdk.operations import Operations
from celeriac.cdk.reach import AnySecret, allow
from celeriac.cdk.sources import Sources
from celeriac.cdk.task_api import TaskApi
from celeriac.cdk.task_data import TaskData
from celeriac.cdk.worker_fleets import WorkerFleets
from celeriac.contract import Catalogue
from celeriac.contract.variables import Policy, check_policy, check_variables


@jsii.implements(aws_ec2.IConnectable)
class Celeriac(Construct):
    """Queues, workers, table, bucket, HTTP API, dashboard and alarms, from a catalogue.

    Args:
        catalogue: the task types, usually ``celeriac.catalogue()``.
        name: the deployment's name, up to 15 letters, digits and dashes. Physical names begin with
            ``celeriac-`` and this name. It is derived from the construct's path unless given.
        deployment: every option of a deployment. Give it or ``name``. Without it, the table, the
            bucket and the queues outlive their stack.
        vpc: the network of the workers; see ``GivenNetwork``. They have one of their own unless it
            is given.
        subnets: those of the workers in this ``vpc``.
        security_groups: those that the workers have besides their own.
        environment: more variables of the workers. The API's function doesn't get them.
        secrets: variables of the workers whose values ECS reads when a worker starts: a secret of
            Secrets Manager, a parameter of Parameter Store, one field as an ``ecs.Secret``, or the
            ARN or name that ``Fleet(secrets=...)`` takes.
        policy: what more the workers of every queue may do: statements, as constructs or as
            mappings, or a function that is called with each role, and its queue if it takes that.
        project: the project's directory; the current one unless given. See ``Sources``.
        packages: further packages of the project that task files import.

    Raises:
        ValueError: an input is wrong, or the project lacks a part. The message names it.

    Security groups may let the workers in: ``database.connections.allow_default_port_from(tasks)``.
    A database of another stack: ``tasks.connections.allow_to_default_port(database)``. The rules
    are then in this stack, and no stack needs the other in a circle.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        catalogue: Catalogue,
        name: str | None = None,
        deployment: Environment | None = None,
        vpc: aws_ec2.IVpc | None = None,
        subnets: aws_ec2.SubnetSelection | None = None,
        security_groups: Sequence[aws_ec2.ISecurityGroup] = (),
        environment: Mapping[str, str] | None = None,
        secrets: Mapping[str, AnySecret] | None = None,
        policy: Policy = (),
        project: Path | str | None = None,
        packages: Sequence[str] = (),
    ) -> None:
        super().__init__(scope, id)
        if name and deployment:
            raise ValueError(f"{self.node.path} has a name and a deployment: give one of the two.")
        chosen = deployment or Environment(name=name or _derived_name(self), protect=True)
        check_variables(self.node.path, environment or {}, secrets or {})
        check_policy(self.node.path, policy)
        sources = Sources.of(Path(project or Path.cwd()).resolve(), packages)
        _check_project(catalogue, sources)
        self._data = TaskData(
            Construct(self, "Data"), environment=chosen, catalogue=catalogue, sources=sources
        )
        workers = Construct(self, "Workers")
        if vpc and chosen.vpc:
            raise ValueError(f"{self.node.path} has a vpc, and so has its deployment: give one.")
        network = (
            GivenNetwork(
                workers,
                "Network",
                vpc=vpc,
                subnets=subnets,
                security_groups=security_groups,
                ports=outbound(chosen.egress_ports, smtp=bool(chosen.smtp_secret_arn)),
            )
            if vpc
            else worker_network(
                workers,
                "Network",
                environment=chosen,
                catalogue=catalogue,
                secrets=secrets,
            )
        )
        self._fleets = WorkerFleets(
            workers,
            environment=chosen,
            catalogue=catalogue,
            data=self._data,
            network=network,
            sources=sources,
            variables=environment,
            secrets=secrets,
        )
        self._api = TaskApi(
            Construct(self, "Api"), environment=chosen, data=self._data, sources=sources
        )
        self._operations = Operations(
            Construct(self, "Operations"),
            environment=chosen,
            catalogue=catalogue,
            data=self._data,
            api=self._api,
            fleets=self._fleets,
        )
        for queue, service in self._fleets.services.items():
            allow(service.role, policy, queue)

    @property
    def queues(self) -> dict[str, TaskQueue]:
        """By a queue's name: its ``queue`` and its ``dead_letter`` queue in SQS."""
        return {queue.name: pair for queue, pair in self._data.queues.items()}

    @property
    def fleets(self) -> dict[str, WorkerService]:
        """By a queue's name: its workers' ``service``, ``task_definition`` and ``role``."""
        return {queue.name: service for queue, service in self._fleets.services.items()}

    @property
    def table(self) -> aws_dynamodb.Table:
        """The table of task records."""
        return self._data.table.table

    @property
    def bucket(self) -> aws_s3.Bucket:
        """The bucket of artifacts."""
        return self._data.artifacts.bucket

    @property
    def cluster(self) -> aws_ecs.Cluster:
        """The ECS cluster of the workers."""
        return self._fleets.cluster

    @property
    def api(self) -> TaskApi:
        """The HTTP API: its ``function``, the function's ``role``, and ``http``."""
        return self._api

    @property
    def operations(self) -> Operations:
        """The dashboard, and the alarms with their topic."""
        return self._operations

    @property
    def url(self) -> str:
        """Where the HTTP API answers."""
        return self._api.url

    @property
    def vpc(self) -> aws_ec2.IVpc:
        """The network of the workers."""
        return self._fleets.network.vpc

    @property
    def connections(self) -> aws_ec2.Connections:
        """The workers' security group, for the rules of others."""
        return self._fleets.network.security_group.connections


def _derived_name(construct: Construct) -> str:
    """A name from the construct's path: two constructs of one app never share it."""
    unique = Names.unique_resource_name(construct, max_length=LONGEST_NAME, separator="-").lower()
    return unique if unique[0].isalpha() else f"c{unique}"[:LONGEST_NAME]


def _check_project(catalogue: Catalogue, sources: Sources) -> None:
    """Every task type must be found again by the function and by the workers."""
    known = sources.project.tasks
    for task_type in catalogue.values():
        module = task_type.function.__module__
        if not any(f"{module}.".startswith(f"{each}.") for each in known):
            raise ValueError(
                f"The task type {task_type.name!r} is declared in {module}, which the project "
                f"doesn't name: add it to tasks={list(known)} under [tool.celeriac]."
            )
