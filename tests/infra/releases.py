"""What an upgrade must keep of a release, cut out of the release's templates.

    python -m tests.infra.releases 0.2.0

writes ``fixtures/0.2.0`` from this checkout. Then add the version to ``RELEASES``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from aws_cdk import App
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from celeriac.contract import catalogue
from infra.cdk.app import compose
from infra.cdk.environments import DEV, PROD
from tests.infra.conftest import OPTIONS, Synthesized, context, imports

FIXTURES = Path(__file__).parent / "fixtures"
#: By commit or version, the oldest first. The first one was a clone of the application.
RELEASES = ("0632f3b",)

#: What holds data, or has a name that people, policies and settings know.
KEPT = frozenset(
    {
        "AWS::ApiGatewayV2::Api",
        "AWS::ApiGatewayV2::DomainName",
        "AWS::DynamoDB::Table",
        "AWS::ECS::Cluster",
        "AWS::ECS::Service",
        "AWS::IAM::OIDCProvider",
        "AWS::IAM::Role",
        "AWS::Lambda::Function",
        "AWS::Logs::LogGroup",
        "AWS::S3::Bucket",
        "AWS::SES::EmailIdentity",
        "AWS::SNS::Topic",
        "AWS::SQS::Queue",
        "AWS::Scheduler::ScheduleGroup",
    }
)
#: The deployments that a release is kept with.
ENVIRONMENTS = {"dev": DEV, "prod": PROD, "prod-options": replace(PROD, **OPTIONS)}

#: ``resources`` by stack and logical id; ``exports`` that another stack uses, by their names.
Release = dict[str, Any]


def kept(templates: Mapping[str, dict[str, Any]]) -> Release:
    """What an upgrade must keep of these templates, which are given by their stacks' short names.

    Of a resource: its type, the properties that CloudFormation replaces it for, and a table's
    indexes.
    """
    used = set(imports(list(templates.values())))
    return {
        "resources": {
            stack: {
                id: _identity(each)
                for id, each in template["Resources"].items()
                if each["Type"] in KEPT
            }
            for stack, template in templates.items()
        },
        "exports": {
            output["Export"]["Name"]: output["Value"]
            for template in templates.values()
            for output in template.get("Outputs", {}).values()
            if "Export" in output and output["Export"]["Name"] in used
        },
    }


def _identity(resource: dict[str, Any]) -> dict[str, Any]:
    properties = resource.get("Properties", {})
    found = {
        path: value
        for path in _replaced_for(resource["Type"])
        if (value := _at(properties, path)) is not None
    }
    identity = {"type": resource["Type"], "properties": found}
    if resource["Type"] == "AWS::DynamoDB::Table":
        indexes = properties.get("GlobalSecondaryIndexes", [])
        identity["indexes"] = {
            each["IndexName"]: {name: each[name] for name in ("KeySchema", "Projection")}
            for each in indexes
        }
    return identity


def _replaced_for(type: str) -> Iterator[str]:
    """The properties of a type that can't be changed in place, as AWS's own schema lists them.

    docs.aws.amazon.com/cloudformation-cli/latest/userguide/resource-type-schema.html
    """
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", type).schema
    for key in ("createOnlyProperties", "conditionalCreateOnlyProperties"):
        for pointer in schema.get(key, []):
            yield pointer.removeprefix("/properties/")


def _at(properties: dict[str, Any], path: str) -> Any:
    value: Any = properties
    for part in path.split("/"):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def synthesized(name: str, directory: Path) -> Release:
    """Today's release: what an upgrade to the next must keep of this environment."""
    environment = ENVIRONMENTS[name]
    app = App(outdir=str(directory), context=context())
    compose(app, environment, catalogue())
    app.synth()
    made = Synthesized(environment, directory)
    stacks = [
        path.name.removeprefix(f"{environment.prefix}-").partition(".")[0]
        for path in sorted(directory.glob("*.template.json"))
    ]
    return kept({stack: made.template(stack) for stack in stacks})


def read(version: str, name: str) -> Release:
    """A release, as it was kept of this environment."""
    return json.loads((FIXTURES / version / f"{name}.json").read_text())  # type: ignore[no-any-return]


def main(version: str) -> None:
    """Keep this checkout as a release."""
    (FIXTURES / version).mkdir(parents=True)
    for name in ENVIRONMENTS:
        with TemporaryDirectory() as directory:
            release = synthesized(name, Path(directory))
        text = json.dumps(release, indent=1, sort_keys=True)
        (FIXTURES / version / f"{name}.json").write_text(f"{text}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
