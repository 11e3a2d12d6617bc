"""Asking before a deployment is deleted, and emptying its bucket."""

from __future__ import annotations

import io
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from infra.region import RegionMissingError
from infra.teardown import TeardownError, confirm, empty
from tests.infra.conftest import ROOT


@pytest.fixture(autouse=True)
def _region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_REGION", "eu-central-1")


@pytest.fixture
def _no_region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)


def answer(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


@mock_aws
def test_every_object_goes() -> None:
    """The bucket is empty after it, and a second time finds nothing."""
    s3 = boto3.client("s3", region_name="eu-central-1")
    bucket = "celeriac-dev-123456789012-eu-central-1"
    s3.create_bucket(
        Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
    )
    for number in range(3):
        s3.put_object(Bucket=bucket, Key=f"tenants/a/{number}", Body=b"x")

    assert empty("dev") == 3
    assert empty("dev") == 0
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@mock_aws
def test_a_deployment_that_is_gone_is_no_fault() -> None:
    """Without a bucket there is nothing to empty."""
    assert empty("dev") == 0


@mock_aws
@pytest.mark.usefixtures("_no_region")
def test_without_a_region_nothing_is_taken_for_gone() -> None:
    """Which bucket is meant can't be known, and the message says what to set."""
    with pytest.raises(RegionMissingError, match="AWS_REGION"):
        empty("dev")


def test_only_the_name_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What will be lost is said first; any other word than the name, or none, ends it."""
    answer(monkeypatch, "dev\n")
    confirm("dev")

    assert "celeriac-dev in eu-central-1" in capsys.readouterr().out
    for other in ("yes\n", "prod\n", ""):
        answer(monkeypatch, other)
        with pytest.raises(TeardownError, match="Nothing was deleted"):
            confirm("dev")


@pytest.mark.parametrize("step", [confirm, empty], ids=lambda each: each.__name__)
def test_a_protected_environment_refuses(
    monkeypatch: pytest.MonkeyPatch, step: Callable[[str], object]
) -> None:
    """prod is not taken down by one command, whatever is answered."""
    answer(monkeypatch, "prod\n")
    with pytest.raises(TeardownError, match="prod is protected"):
        step("prod")


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """A virtual environment and a command line that write down what they are called with."""
    for path in ("bin/python", "cdk"):
        program = tmp_path / path
        program.parent.mkdir(exist_ok=True)
        program.write_text(
            f'#!/bin/sh\necho "$(basename $0) $*" >> {tmp_path}/calls\n'
            f'case "$*" in *"$REFUSE"*) exit 1; esac\n'
        )
        program.chmod(0o755)
    for path in ("bin/uv", ".installed"):
        (tmp_path / path).touch()
    return tmp_path


def destroy(recorded: Path, *, refuse: str) -> list[list[str]]:
    subprocess.run(
        ["make", "destroy", "ENV=dev", f"VENV={recorded}", f"CDK={recorded / 'cdk'}"],
        cwd=ROOT,
        env={**os.environ, "REFUSE": refuse},
        check=False,
        capture_output=True,
    )
    return [line.split() for line in (recorded / "calls").read_text().splitlines()]


def test_the_bucket_is_emptied_between_those_who_write_and_its_own_stack(recorded: Path) -> None:
    """Asked; then the stacks of workers and API; then the bucket; then all the rest."""
    asked, writers, emptied, rest = destroy(recorded, refuse="nothing")

    assert asked == ["python", "-m", "infra.teardown", "confirm", "dev"]
    assert writers[:2] == rest[:2] == ["cdk", "destroy"]
    assert set(writers[-3:]) == {"celeriac-dev-ops", "celeriac-dev-api", "celeriac-dev-workers"}
    assert emptied == ["python", "-m", "infra.teardown", "empty", "dev"]
    assert rest[-1] == "--all"


def test_nothing_is_deleted_that_was_not_confirmed(recorded: Path) -> None:
    """Without the name, no stack and no object goes."""
    assert destroy(recorded, refuse="confirm") == [
        ["python", "-m", "infra.teardown", "confirm", "dev"]
    ]
