"""What a deployment says of itself, given to a shell."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import boto3
import pytest
from moto import mock_aws

from celeriac.contract.variables import PREFIX
from infra.outputs import main
from tests.infra.conftest import ROOT, Synthesized

# Each a value that a shell would change, were it not quoted.
AWKWARD = "it's $HOME & `more`, of {key}"
ENVIRONMENT = "import json, os; print(json.dumps(dict(os.environ)))"


@pytest.fixture
def outputs(dev: Synthesized, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The outputs of the real template, in another region than boto3's own variable names."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    return {
        key: {**output, "Value": AWKWARD.format(key=key)}
        for key, output in dev.template("api")["Outputs"].items()
    }


def deploy(outputs: dict[str, Any]) -> None:
    template = {"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}, "Outputs": outputs}
    boto3.client("cloudformation", region_name="eu-central-1").create_stack(
        StackName="celeriac-dev-api", TemplateBody=json.dumps(template)
    )


def in_a_shell(exports: str) -> dict[str, str]:
    """The variables of a program that a shell starts which has read these lines."""
    done = subprocess.run(
        ["/bin/sh", "-c", f'eval "$1"; {sys.executable} -c "{ENVIRONMENT}"', "sh", exports],
        env={},
        check=True,
        capture_output=True,
        text=True,
    )
    variables: dict[str, str] = json.loads(done.stdout)
    return variables


@mock_aws
def test_a_shell_gets_what_the_function_has(
    outputs: dict[str, Any], dev: Synthesized, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each of the function's settings is exported as it is, and the API's URL; nothing else."""
    deploy(outputs)

    assert main(["dev"]) == 0

    found = in_a_shell(capsys.readouterr().out)
    settings = {name: value for name, value in found.items() if name.startswith(PREFIX)}
    function = dev.function
    assert any("Description" not in each for each in outputs.values())
    assert settings.keys() == function["Environment"]["Variables"].keys()
    assert settings["CELERIAC_TABLE_NAME"] == AWKWARD.format(key="SettingTableName")
    assert found["API"] == AWKWARD.format(key="ApiUrl")
    assert len(set(settings.values())) == len(settings)


@mock_aws
@pytest.mark.parametrize(
    ("name", "said"), [("dev", "celeriac-dev-api"), ("moon", "no environment 'moon'")]
)
@pytest.mark.usefixtures("outputs")
def test_what_is_not_there_is_said(
    name: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the deployment, or for no environment's name, a shell is given nothing to read."""
    assert main([name]) == 1

    printed = capsys.readouterr()
    assert printed.out == ""
    assert said in printed.err


def test_the_page_says_it_as_it_is() -> None:
    """Its first deployment gives the shell the variables that its own steps then use."""
    page = (ROOT / "docs" / "deploying.md").read_text()
    line = 'eval "$(.venv/bin/python -m infra.outputs dev)"'

    assert page.index(line) < page.index("celeriac keys create me") < page.index("curl -s $API/")
