"""The images of a deployment's workers: one for all fleets that ask for the same."""

from __future__ import annotations

import re
from pathlib import Path

from aws_cdk import (
    DockerBuildSecret,
    IgnoreMode,
    Stack,
    Stage,
    Token,
    aws_ecr,
    aws_ecr_assets,
    aws_ecs,
)
from constructs import Construct

from celeriac.cdk.sources import Sources, SourcesError
from celeriac.cdk.worker_image import APT, PIP_SECRET, stage
from celeriac.contract import Fleet
from celeriac.contract.fleets import Architecture

_PLATFORMS: dict[Architecture, aws_ecr_assets.Platform] = {
    "arm64": aws_ecr_assets.Platform.LINUX_ARM64,
    "x86_64": aws_ecr_assets.Platform.LINUX_AMD64,
}
#: An image in ECR: its account, region, repository, and its tag or digest if it has one.
_ECR = re.compile(
    r"(\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/([^:@\s]+)"
    r"(?:(?::|@(?=sha256:))(\S+))?"
)


class FleetImages:
    """Makes the image of each fleet, and gives the same one to fleets that need no other.

    ``isolated``: workers fetch it through the endpoints of ECR in their region, and no other way.
    """

    def __init__(
        self,
        scope: Construct,
        *,
        sources: Sources,
        pip_config: str | None,
        isolated: bool = False,
    ) -> None:
        self._isolated = isolated
        self._scope = scope
        self._sources = sources
        self._pip_config = _pip_config(sources, pip_config)
        self._made: dict[object, aws_ecr_assets.DockerImageAsset] = {}

    def of(self, fleet: Fleet, name: str) -> aws_ecs.ContainerImage:
        """The image of a fleet, by the name of its queue.

        Raises:
            ValueError: workers have no way to the image that is named.
            celeriac.cdk.sources.SourcesError: the project lacks a part of it.
        """
        if fleet.image:
            return self._given(fleet.image, name)
        recipe = _recipe(fleet)
        if recipe not in self._made:
            plain = recipe == _recipe(Fleet())
            self._made[recipe] = self._build(fleet, "Image" if plain else f"{name}Image")
        return aws_ecs.ContainerImage.from_docker_image_asset(self._made[recipe])

    def _build(self, fleet: Fleet, id: str) -> aws_ecr_assets.DockerImageAsset:
        """The image as an asset. Its build context lies in the cloud assembly."""
        assembly = Stage.of(self._scope)
        if assembly is None:
            raise TypeError(f"{self._scope.node.path} isn't in a CDK app. Create it under an App.")
        # The first image keeps the directory's name that it has had.
        suffix = "" if id == "Image" else f".{id}"
        context = Path(assembly.outdir) / f"context.{self._scope.node.addr}{suffix}"
        stage(self._sources, context, fleet)
        return aws_ecr_assets.DockerImageAsset(
            self._scope,
            id,
            directory=str(context),
            platform=_PLATFORMS[fleet.architecture],
            ignore_mode=IgnoreMode.DOCKER,
            build_args={APT: " ".join(fleet.apt)} if fleet.apt else None,
            build_secrets={PIP_SECRET: DockerBuildSecret.from_src(str(self._pip_config))}
            if self._pip_config
            else None,
            # The file's path is this machine's, and its content a secret: neither is the image's.
            invalidation=aws_ecr_assets.DockerImageAssetInvalidationOptions(build_secrets=False),
        )

    def _given(self, uri: str, name: str) -> aws_ecs.ContainerImage:
        found = _ECR.fullmatch(uri)
        here = Stack.of(self._scope).region
        if self._isolated and not (
            found and (Token.is_unresolved(here) or here == found["region"])
        ):
            raise ValueError(
                f"Fleet(image={uri!r}): network='endpoints' has no way to it, only to ECR in the "
                "deployment's region. Copy it there, or choose another network."
            )
        if found is None:
            return aws_ecs.ContainerImage.from_registry(uri)
        account, region, repository, version = found.groups()
        # ECR asks for the right to pull, which this way of naming it grants.
        return aws_ecs.ContainerImage.from_ecr_repository(
            aws_ecr.Repository.from_repository_attributes(
                self._scope,
                f"{name}Repository",
                repository_arn=Stack.of(self._scope).format_arn(
                    service="ecr",
                    account=account,
                    region=region,
                    resource="repository",
                    resource_name=repository,
                ),
                repository_name=repository,
            ),
            version or "latest",
        )


def _recipe(fleet: Fleet) -> tuple[object, ...]:
    return (fleet.apt, fleet.extras, fleet.dockerfile, fleet.architecture)


def _pip_config(sources: Sources, name: str | None) -> Path | None:
    if name is None:
        return None
    path = sources.root / name
    if not path.is_file():
        raise SourcesError(
            f"{path} is missing: Environment(pip_config={name!r}) names it. Create it."
        )
    return path
