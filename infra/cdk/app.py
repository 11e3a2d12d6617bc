"""The CDK app: ``cdk deploy --all -c environment=dev``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from aws_cdk import App, Tags, Validations
from cdk_nag import AwsSolutionsChecks

from celeriac import Catalogue, catalogue
from celeriac.cdk import Environment, Sources
from infra.cdk.environments import DEV, TAG, environment
from infra.cdk.stacks.api import Api
from infra.cdk.stacks.data import Data
from infra.cdk.stacks.delivery import Delivery
from infra.cdk.stacks.ops import Ops
from infra.cdk.stacks.workers import Workers

#: The project's directory. Its packages, its locks and its worker/Dockerfile are deployed.
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, kw_only=True)
class System:
    """One deployment's stacks. ``delivery`` exists only if a GitHub repository may deploy."""

    data: Data
    workers: Workers
    api: Api
    ops: Ops
    delivery: Delivery | None


def compose(app: App, environment: Environment, catalogue: Catalogue) -> System:
    """Every stack of one deployment, checked against the AWS Solutions rules at synthesis."""
    prefix = environment.prefix
    sources = Sources.of(ROOT)
    data = Data(
        app,
        f"{prefix}-data",
        environment=environment,
        catalogue=catalogue,
        sources=sources,
    )
    workers = Workers(
        app,
        f"{prefix}-workers",
        environment=environment,
        catalogue=catalogue,
        data=data,
        sources=sources,
    )
    api = Api(app, f"{prefix}-api", environment=environment, data=data, sources=sources)
    ops = Ops(
        app,
        f"{prefix}-ops",
        environment=environment,
        catalogue=catalogue,
        data=data,
        api=api,
        workers=workers,
    )
    delivery = (
        Delivery(app, f"{prefix}-delivery", environment=environment, github=environment.github)
        if environment.github
        else None
    )
    for name, value in {**environment.tags, TAG: environment.title}.items():
        Tags.of(app).add(name, value)
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    return System(data=data, workers=workers, api=api, ops=ops, delivery=delivery)


def main() -> None:
    """Synthesize the environment that the context names, ``dev`` if it names none."""
    app = App()
    name = app.node.try_get_context("environment") or DEV.name
    compose(app, environment(name), catalogue())
    app.synth()


if __name__ == "__main__":
    main()
