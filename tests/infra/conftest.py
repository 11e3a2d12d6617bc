"""Synthesizing once a session: each environment, network mode and option, without bundling."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
from aws_cdk import App

from celeriac.cdk import Domain, Environment, GitHub, Jwt, Mail, Network
from celeriac.contract import BaseModel, Catalogue, TaskContext, catalogue, task
from infra.cdk.app import compose
from infra.cdk.environments import DEV, PROD
from tasks.queues import EMAIL, FILES

ROOT = Path(__file__).parents[2]
STACKS = ("data", "workers", "api", "ops")

# The one option that a network can't have.
SMTP = "smtp_secret_arn"
OPTIONS: dict[str, Any] = {
    "mail": Mail(sender="tasks@celeriac.dev"),
    SMTP: "arn:aws:secretsmanager:us-east-1:123456789012:secret:celeriac-smtp-a1b2c3",
    "egress_ports": (5432,),
    "settings": {"log_level": "WARNING"},
    "alarm_email": "on-call@celeriac.dev",
    "kms_key": "create",
    "runbook": "https://celeriac.dev/runbook",
    "snap_start": True,
    "jwt": Jwt(
        issuer="https://login.celeriac.dev/",
        audience=("tasks",),
        tenant_claim="custom:tenant",
        scope_prefix="tasks/",
    ),
    "domain": Domain(name="api.celeriac.dev", zone_name="celeriac.dev", zone_id="Z0123456789"),
    "github": GitHub(repository="celeriac/celeriac", create_provider=True),
}


def _variants() -> dict[str, Environment]:
    """Each environment in each network mode, plain and with every option that goes with it."""
    found = {}
    for environment in (DEV, PROD):
        for network in get_args(Network):
            options = {
                name: value
                for name, value in OPTIONS.items()
                if network != "endpoints" or name != SMTP
            }
            plain = replace(environment, network=network)
            found[f"{environment.name}-{network}"] = plain
            found[f"{environment.name}-{network}-options"] = replace(plain, **options)
    return found


VARIANTS = _variants()


class Note(BaseModel):
    text: str


@task(queue=FILES, time_limit=timedelta(minutes=2))
def shrink(payload: Note, context: TaskContext) -> Note:
    """Make a file smaller."""
    return payload


# By its other name it may send mail, as the built-in type may.
@task(queue=EMAIL, time_limit=timedelta(seconds=30), aliases=("send-email",))
def greet(payload: Note, context: TaskContext) -> Note:
    """Greet by mail."""
    return payload


#: All queues of the application, with task types of the tests on two of them.
SAMPLE = Catalogue([shrink, greet], catalogue().queues)

Resource = dict[str, Any]


@dataclass(frozen=True)
class Synthesized:
    """A cloud assembly: its templates by the stack's short name, its validation report."""

    environment: Environment
    directory: Path

    def template(self, stack: str) -> dict[str, Any]:
        path = self.directory / f"{self.environment.prefix}-{stack}.template.json"
        return json.loads(path.read_text())  # type: ignore[no-any-return]

    def all(self, stack: str, type: str) -> list[Resource]:
        """The resources of a type."""
        found = self.template(stack)["Resources"].values()
        return [each for each in found if each["Type"] == type]

    def properties(self, stack: str, type: str) -> list[dict[str, Any]]:
        return [each["Properties"] for each in self.all(stack, type)]

    def one(self, stack: str, type: str, **having: object) -> dict[str, Any]:
        """The properties of the only resource of this type that has these."""
        found = [
            each
            for each in self.properties(stack, type)
            if all(each.get(name) == value for name, value in having.items())
        ]
        assert len(found) == 1, f"{len(found)} of {type} with {having}"
        return found[0]

    @property
    def function(self) -> dict[str, Any]:
        """The API's function, which answers all but those who follow a task."""
        name = f"{self.environment.prefix}-api"
        return self.one("api", "AWS::Lambda::Function", FunctionName=name)

    @property
    def findings(self) -> list[dict[str, Any]]:
        """The findings of cdk-nag that aren't accepted."""
        report = json.loads((self.directory / "validation-report.json").read_text())
        return [
            violation
            for plugin in report["pluginReports"]
            for violation in plugin.get("violations", [])
        ]


Synthesize = Callable[[Environment], Synthesized]


def context() -> dict[str, Any]:
    """The context of cdk.json, without bundling."""
    flags = json.loads((ROOT / "cdk.json").read_text())["context"]
    return {**flags, "aws:cdk:bundling-stacks": []}


@pytest.fixture(scope="session")
def synthesize(tmp_path_factory: pytest.TempPathFactory) -> Synthesize:
    """Synthesize an environment with two sample task types; the same one only once."""

    @cache
    def run(environment: Environment) -> Synthesized:
        directory = tmp_path_factory.mktemp(environment.name)
        app = App(outdir=str(directory), context=context())
        compose(app, environment, SAMPLE)
        app.synth()
        return Synthesized(environment, directory)

    return run


@pytest.fixture(scope="session")
def dev(synthesize: Synthesize) -> Synthesized:
    return synthesize(DEV)


@pytest.fixture(scope="session")
def prod(synthesize: Synthesize) -> Synthesized:
    return synthesize(PROD)


@pytest.fixture(scope="session")
def with_options(synthesize: Synthesize) -> Synthesized:
    return synthesize(replace(PROD, **OPTIONS))


@pytest.fixture(scope="session")
def mailing(synthesize: Synthesize) -> Synthesized:
    """Mail through SES, from an address that gets an identity."""
    return synthesize(replace(DEV, mail=Mail(sender="tasks@celeriac.dev")))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project as small as can be: one task file, and locks that name one wheel and celeriac."""
    root = tmp_path / "shop"
    files = {
        "tasks/__init__.py": "",
        "tasks/greet.py": "",
        "locks/api.txt": "boto3==1.44.5 \\\n    --hash=sha256:aa\nceleriac==0.1.0 \\\n"
        "    --hash=sha256:bb\nceleriac-plugin==1.0\n",
        "locks/worker.txt": "celeriac @ file:///wheel.whl\n    # via -r -\nboto3==1.44.5\n",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def exports(synthesized: Synthesized, stack: str) -> set[str]:
    """What other stacks can use of a stack."""
    outputs = synthesized.template(stack).get("Outputs", {}).values()
    return {each["Export"]["Name"] for each in outputs if "Export" in each}


def imports(template: Any) -> Iterator[str]:
    """What a template uses of other stacks."""
    match template:
        case {"Fn::ImportValue": str(name)}:
            yield name
        case dict():
            for each in template.values():
                yield from imports(each)
        case list():
            for each in template:
                yield from imports(each)


def statements(policies: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The statements of policies' properties."""
    for policy in policies:
        yield from policy["PolicyDocument"]["Statement"]


def as_list(value: Any) -> list[Any]:
    """CloudFormation writes one of a list without the list."""
    return value if isinstance(value, list) else [value]
