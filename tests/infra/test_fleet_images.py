"""Each fleet runs the image that it asks for, and no second one is built for nothing."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

import pytest
from aws_cdk import App, Stack, aws_ecs
from aws_cdk.assertions import Template

from celeriac.cdk import Sources, SourcesError
from celeriac.cdk.fleet_images import FleetImages
from celeriac.contract import Fleet


def fleet_images(project: Path, pip_config: str | None = None) -> tuple[Stack, FleetImages]:
    stack = Stack(App(outdir=str(project / "out")), "stack")
    return stack, FleetImages(stack, sources=Sources.of(project), pip_config=pip_config)


def test_fleets_that_ask_for_the_same_share_an_image(project: Path) -> None:
    """A second one is built only for what differs."""
    _, images = fleet_images(project)
    (project / "worker").mkdir()
    (project / "worker" / "Film").write_text("FROM scratch\n")
    images.of(Fleet(), "First")
    images.of(Fleet(processes=2, environment={"A": "x"}), "Second")
    assert len(list((project / "out").glob("context.*"))) == 1
    images.of(Fleet(dockerfile="worker/Film"), "Film")
    contexts = sorted((project / "out").glob("context.*"))
    assert len(contexts) == 2
    assert (contexts[1] / "Dockerfile").read_text() == "FROM scratch\n"


def test_an_image_has_the_extras_of_its_fleet(project: Path) -> None:
    """From a lock of their own; without it the command that makes it is named."""
    _, images = fleet_images(project)
    fleet = Fleet(extras=("film", "sound"))
    with pytest.raises(SourcesError, match=r"make locks/worker\+film\+sound\.txt"):
        images.of(fleet, "Film")
    (project / "locks" / "worker+film+sound.txt").write_text("moviepy==2.1\n")
    images.of(fleet, "Film")
    (context,) = (project / "out").glob("context.*")
    assert (context / "requirements.txt").read_text() == "moviepy==2.1\n"


def test_a_private_index_is_a_secret_of_the_build(project: Path) -> None:
    """The file is mounted and never copied into the context; a missing one is named."""
    with pytest.raises(SourcesError, match=r"pip\.conf is missing"):
        fleet_images(project, "pip.conf")
    (project / "pip.conf").write_text("[global]\nindex-url = https://me:hunter2@pypi.shop.net\n")
    stack, images = fleet_images(project, "pip.conf")
    images.of(Fleet(), "First")
    (context,) = (project / "out").glob("context.*")
    files = [each for each in context.rglob("*") if each.is_file()]
    assert not any("hunter2" in each.read_text(errors="ignore") for each in files)
    app = stack.node.root
    assert isinstance(app, App)
    app.synth()
    (assets,) = (project / "out").glob("*.assets.json")
    (image,) = json.loads(assets.read_text())["dockerImages"].values()
    assert image["source"]["dockerBuildSecrets"] == {"pip": f"src={project / 'pip.conf'}"}


@pytest.mark.parametrize(
    ("uri", "granted"),
    [
        ("123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop/film:1.2", True),
        ("123456789012.dkr.ecr.eu-central-1.amazonaws.com/film@sha256:" + "a" * 64, True),
        # Without a tag it is the latest, which needs the right to pull no less.
        ("123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop/film", True),
        ("public.ecr.aws/shop/film:1.2", False),
        ("ghcr.io/shop/film:1.2", False),
    ],
)
def test_an_image_that_exists_is_taken_as_it_is(project: Path, uri: str, granted: bool) -> None:
    """Nothing is built; a repository of ECR lets the execution role pull."""
    stack, images = fleet_images(project)
    definition = aws_ecs.FargateTaskDefinition(stack, "Task")
    definition.add_container("worker", image=images.of(Fleet(image=uri), "Film"))
    template = Template.from_stack(stack)
    (found,) = template.find_resources("AWS::ECS::TaskDefinition").values()
    (container,) = found["Properties"]["ContainerDefinitions"]
    assert uri.rpartition("/")[2] in json.dumps(container["Image"]).replace('", "', "")
    policies = json.dumps(template.find_resources("AWS::IAM::Policy"))
    assert ("ecr:BatchGetImage" in policies) is granted
    assert list((project / "out").glob("context.*")) == []


@pytest.mark.parametrize(
    ("uri", "reached"),
    [
        ("123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop/film:1.2", True),
        ("123456789012.dkr.ecr.us-east-1.amazonaws.com/shop/film:1.2", False),
        ("public.ecr.aws/shop/film:1.2", False),
        ("ghcr.io/shop/film:1.2", False),
    ],
)
def test_isolated_workers_fetch_their_image_from_ecr_of_their_region(
    project: Path, uri: str, reached: bool
) -> None:
    """Any other registry has no endpoint in their network: no worker would ever start."""
    stack = Stack(App(), "stack", env={"account": "123456789012", "region": "eu-central-1"})
    images = FleetImages(stack, sources=Sources.of(project), pip_config=None, isolated=True)
    with nullcontext() if reached else pytest.raises(ValueError, match="has no way to it"):
        images.of(Fleet(image=uri), "Film")
