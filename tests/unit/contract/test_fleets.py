"""What a fleet may be, and what is refused where it is declared."""

from __future__ import annotations

from typing import Any

import pytest

from celeriac.cdk.constructs.fargate import check_size
from celeriac.contract import Fleet, Queue


def test_a_fleet_that_says_nothing_sleeps_on_arm_with_nothing_of_ones_own() -> None:
    """The cheap and closed choice."""
    fleet = Fleet()
    assert (fleet.min_workers, fleet.architecture, fleet.ephemeral_storage) == (0, "arm64", None)
    assert (fleet.environment, fleet.secrets, fleet.policy) == ({}, {}, ())
    # Fleets are compared, and used in sets: a mapping in one does no harm.
    assert hash(fleet) == hash(Fleet(environment={"A": "x"}))
    assert fleet != Fleet(environment={"A": "x"})


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"min_workers": -1}, "min_workers=-1"),
        ({"min_workers": True}, "min_workers=True"),
        ({"min_workers": 1.5}, "min_workers=1.5"),
        ({"min_workers": 3, "max_workers": 2}, "more workers at least than at most"),
        ({"ephemeral_storage": 20}, "give 21 to 200 GiB"),
        ({"ephemeral_storage": 201}, "give 21 to 200 GiB"),
        ({"ephemeral_storage": "50"}, "give 21 to 200 GiB"),
        ({"architecture": "arm"}, "choose 'arm64' or 'x86_64'"),
        ({"apt": "ffmpeg"}, "give names in a tuple"),
        ({"apt": ("ffmpeg; rm -rf /",)}, "give names in a tuple"),
        ({"apt": ("--allow-unauthenticated",)}, "give names in a tuple"),
        ({"extras": ("../x",)}, "give names in a tuple"),
        ({"image": "shop:1", "apt": ("ffmpeg",)}, "isn't built"),
        ({"image": "shop:1", "dockerfile": "worker/Film"}, "isn't built"),
        ({"environment": {"CELERIAC_QUEUES": "x"}}, "CELERIAC_QUEUES is a setting"),
        ({"environment": {"A": "1"}, "secrets": {"A": "/a"}}, "A is in environment and in secrets"),
        ({"environment": {"A=B": "1"}}, "can't be the name of a variable"),
        ({"secrets": {"A": "pass word"}}, "names neither"),
        ({"secrets": {"A": 5}}, "names neither"),
        ({"policy": [{"Resource": "*"}]}, "has no Action"),
        # The CDK would drop these keys, and allow what was to be denied or bounded.
        ({"policy": [{"Action": "s3:*", "Resource": "*", "effect": "Deny"}]}, "has 'effect'"),
        ({"policy": [{"Action": "s3:*", "Resource": "*", "Conditions": {}}]}, "has 'Conditions'"),
        ({"policy": [{"Action": "s3:*", "Resource": "*", "Principal": "*"}]}, "has 'Principal'"),
        ({"policy": [{"Action": "s3:*", "Resource": "*", "Effect": "deny"}]}, "neither 'Allow'"),
        # A set has no order, so its image would be another one each time.
        ({"apt": {"ffmpeg", "sox"}}, "give names in a tuple"),
        ({"extras": ["film"]}, "give names in a tuple"),
        ({"apt": None}, "give names in a tuple"),
        ({"dockerfile": "../Dockerfile"}, "give a path in the project"),
        ({"dockerfile": "/Dockerfile"}, "give a path in the project"),
        ({"dockerfile": ""}, "give a path in the project"),
        ({"image": ""}, "give the URI of an image"),
        ({"image": "shop :1"}, "give the URI of an image"),
        ({"environment": {1: "x"}}, "can't be the name of a variable"),
    ],
)
def test_what_no_fleet_can_be_is_refused(fields: dict[str, Any], fault: str) -> None:
    """With the field and what to write."""
    with pytest.raises(ValueError, match=fault):
        Fleet(**fields)


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"environment": {"A": 1}}, "is of type int"),
        ({"policy": {"Action": "s3:*", "Resource": "*"}}, "no list of IAM statements"),
        ({"policy": "s3:*"}, "no list of IAM statements"),
        ({"policy": ["s3:*"]}, "'s3:\\*', which is no statement"),
        ({"policy": [None]}, "None, which is no statement"),
        ({"environment": None}, "environment is of type NoneType"),
        ({"secrets": ["A"]}, "secrets is of type list"),
    ],
)
def test_a_value_of_another_type_is_named(fields: dict[str, Any], fault: str) -> None:
    """A single statement in place of a list is the usual one."""
    with pytest.raises(TypeError, match=fault):
        Fleet(**fields)


def test_a_value_of_a_variable_is_never_shown() -> None:
    """It may be a password that belongs among the secrets."""
    with pytest.raises(TypeError) as caught:
        Fleet(environment={"A": b"hunter2"})  # type: ignore[dict-item]
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ValueError, match="names neither") as refused:
        Fleet(secrets={"A": "hunter 2"})
    assert "hunter" not in str(refused.value)


@pytest.mark.parametrize(
    ("cpu", "memory"), [(256, 512), (512, 4096), (1024, 2048), (4096, 30_720), (16_384, 122_880)]
)
def test_a_size_that_fargate_has_is_taken(cpu: int, memory: int) -> None:
    """The ends of AWS's table."""
    check_size(Queue("film", fleet=Fleet(cpu=cpu, memory=memory, processes=1)))


@pytest.mark.parametrize(
    ("cpu", "memory", "nearest"),
    [
        (256, 4096, "cpu=512, memory=4096"),
        (512, 512, "cpu=512, memory=1024"),
        (600, 1024, "cpu=1024, memory=2048"),
        (1024, 2500, "cpu=1024, memory=3072"),
        (8192, 17_000, "cpu=8192, memory=20480"),
        (32_768, 1024, "cpu=16384, memory=122880"),
    ],
)
def test_a_size_that_fargate_lacks_names_the_nearest(cpu: int, memory: int, nearest: str) -> None:
    """When the templates are made, with the place of the queue; AWS would say it minutes later."""
    queue = Queue("film", fleet=Fleet(cpu=cpu, memory=memory, processes=1))
    with pytest.raises(ValueError, match=nearest) as refused:
        check_size(queue)
    assert "test_fleets.py:" in str(refused.value)
