"""The HTTP API: the Lambda function, and API Gateway in front of it."""

from __future__ import annotations

from aws_cdk import CfnOutput, Stack
from constructs import Construct

from celeriac.cdk import URL_OUTPUT, Environment, Sources, TaskApi, output_id
from infra.cdk.stacks.data import Data


class Api(Stack):
    """The API. The stack's outputs are its URL, and every setting that it runs with."""

    def __init__(
        self, scope: Construct, id: str, *, environment: Environment, data: Data, sources: Sources
    ) -> None:
        super().__init__(
            scope,
            id,
            env=environment.env,
            stack_name=f"{environment.prefix}-api",
            description="Celeriac: the HTTP API.",
        )
        self.tasks = TaskApi(self, environment=environment, data=data.tasks, sources=sources)
        CfnOutput(self, URL_OUTPUT, value=self.tasks.url, description="Where the API answers.")
        for name, value in data.tasks.settings.to_environment().items():
            CfnOutput(self, output_id(name), value=value, description=f"The setting {name}.")
