"""The workers: one Fargate service for each queue, and the network they call out from."""

from __future__ import annotations

import jsii
from aws_cdk import Fn, Stack
from constructs import Construct

from celeriac import Catalogue
from celeriac.cdk import Environment, Sources, WorkerFleets, worker_network
from infra.cdk.stacks.data import Data


class Workers(Stack):
    """The fleets. Grant here what your own task types need: ``service_of`` finds their workers."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        environment: Environment,
        catalogue: Catalogue,
        data: Data,
        sources: Sources,
    ) -> None:
        self._zones = list(environment.availability_zones)
        super().__init__(
            scope,
            id,
            env=environment.env,
            stack_name=f"{environment.prefix}-workers",
            description="Celeriac: the workers, one Fargate service for each queue.",
        )
        network = worker_network(
            self,
            "Network",
            environment=environment,
            catalogue=catalogue,
        )
        self.fleets = WorkerFleets(
            self,
            environment=environment,
            catalogue=catalogue,
            data=data.tasks,
            network=network,
            sources=sources,
        )

    @property
    @jsii.member(jsii_name="availabilityZones")
    def availability_zones(self) -> list[str]:
        """Those of the network, or the region's. Else the CDK would look them up in the account."""
        return self._zones or [Fn.select(place, Fn.get_azs()) for place in range(2)]
