"""What must outlive a deployment: task records, artifacts, queued messages, schedules, mail."""

from __future__ import annotations

from aws_cdk import Stack
from constructs import Construct

from celeriac import Catalogue
from celeriac.cdk import Environment, Sources, TaskData


class Data(Stack):
    """Celeriac's own data, and what SES needs to send mail."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        environment: Environment,
        catalogue: Catalogue,
        sources: Sources,
    ) -> None:
        super().__init__(
            scope,
            id,
            env=environment.env,
            stack_name=f"{environment.prefix}-data",
            description="Celeriac: task records, artifacts, queues and schedules.",
            termination_protection=environment.protect,
        )
        self.tasks = TaskData(self, environment=environment, catalogue=catalogue, sources=sources)
