"""AWS Solutions' rules, cfn-lint and checkov, over every environment, network mode and option."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from aws_cdk import App, Stack, aws_s3
from cfnlint import api as cfn_lint

from celeriac.contract import catalogue
from infra.cdk.app import compose
from infra.cdk.environments import DEV, PROD
from tests.infra.conftest import OPTIONS, ROOT, VARIANTS, Synthesize, Synthesized, context

#: ``make build/checkov/bin/checkov`` installs it.
CHECKOV = ROOT / "build" / "checkov" / "bin" / "checkov"


@dataclass(frozen=True)
class Finding:
    """A rule that a template breaks. ``where`` is ``variant/stack/part of the template``."""

    rule: str
    where: str
    says: str


_CUSTOMER_KEY = (
    "AWS encrypts it with a key of its own. A customer's key costs a dollar a month and a price "
    "for each call, and would protect against nobody who may read the data by a role."
)

#: What is accepted: the rule, where (``*`` is anything), and why.
ACCEPTED_BY_CFN_LINT = {
    ("W3005", "*/workers/Resources/*Service*/DependsOn/*"): (
        "CDK writes a dependency on a network as one on each of its parts, used or not."
    ),
    ("W3005", "*/workers/Resources/Check*/DependsOn/*"): (
        "As for services; and CDK makes a function wait for its role's policy."
    ),
    ("W3005", "*/api/Resources/*/DependsOn/*"): (
        "CDK makes a function wait for its role's policy, and names the role with it."
    ),
    ("W3005", "*/data/Resources/Schedules*/DependsOn/*"): (
        "A schedule waits for its role's policy, and CDK names the role with it."
    ),
    ("W6001", "*/api/Outputs/Setting*"): (
        "An output is read by `infra.outputs`: the API's stack shows every setting, of any stack."
    ),
}
ACCEPTED_BY_CHECKOV = {
    ("CKV_AWS_18", "*/data/AWS::S3::Bucket.Artifacts*"): (
        "As for AwsSolutions-S1: access is by a role or a signed link; records say who asked."
    ),
    ("CKV_AWS_21", "*/data/AWS::S3::Bucket.Artifacts*"): (
        "No object is ever written again, and all are deleted within days. Old versions would "
        "keep what a tenant has asked to delete."
    ),
    ("CKV_AWS_26", "*/ops/AWS::SNS::Topic.Alarms*"): (
        "CloudWatch can't publish with AWS's key, and messages name resources only: see Alarms."
    ),
    ("CKV_AWS_27", "*/AWS::SQS::Queue.*"): (
        "Queues are encrypted with SQS's key (SqsManagedSseEnabled), which checkov doesn't read."
    ),
    ("CKV_AWS_28", "dev-*/data/AWS::DynamoDB::Table.Records*"): (
        "An environment that isn't protected holds nothing worth restoring. prod has it."
    ),
    ("CKV_AWS_65", "*/workers/AWS::ECS::Cluster.*"): (
        "As for AwsSolutions-ECS4: Container Insights costs more than these fleets' alarms."
    ),
    ("CKV_AWS_115", "*/api/AWS::Lambda::Function.*"): (
        "API Gateway's throttle bounds it. A new account's ten executions leave none to reserve."
    ),
    ("CKV_AWS_115", "*/workers/AWS::Lambda::Function.Check*"): (
        "CloudFormation calls it once for each fleet of a deployment."
    ),
    ("CKV_AWS_116", "*/workers/AWS::Lambda::Function.Check*"): (
        "It answers CloudFormation, which tells the deployer of a failure and of a missing answer."
    ),
    ("CKV_AWS_117", "*/workers/AWS::Lambda::Function.Check*"): "As for the API's functions.",
    ("CKV_AWS_116", "*/api/AWS::Lambda::Function.*"): (
        "API Gateway calls it and waits. Lambda sends only asynchronous calls' events there."
    ),
    ("CKV_AWS_117", "*/api/AWS::Lambda::Function.*"): (
        "It calls AWS alone. In a VPC it would need endpoints or a NAT gateway for that."
    ),
    ("CKV_AWS_119", "*/data/AWS::DynamoDB::Table.Records*"): _CUSTOMER_KEY,
    ("CKV_AWS_158", "*/AWS::Logs::LogGroup.*"): _CUSTOMER_KEY,
    ("CKV_AWS_173", "*/api/AWS::Lambda::Function.*"): (
        f"{_CUSTOMER_KEY} Its variables name resources and hold no secret."
    ),
}


#: What differs between two environments differs in every network mode. So the slower linters read
#: prod in each mode, and dev in its own.
READ = {
    name: environment
    for name, environment in VARIANTS.items()
    if environment.name == PROD.name or environment.network == DEV.network
}


@pytest.fixture(scope="module")
def templates(synthesize: Synthesize, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the templates that the linters read, equal ones only once.

    ``prod-nat.workers.template.json`` is the workers' template of that variant.
    """
    directory = tmp_path_factory.mktemp("templates")
    seen = set()
    for name, environment in READ.items():
        for path in synthesize(environment).directory.glob("*.template.json"):
            text = path.read_text()
            stack = path.name.removeprefix(f"{environment.prefix}-")
            if text not in seen:
                seen.add(text)
                (directory / f"{name}.{stack}").write_text(text)
    return directory


def where(template: Path, part: str) -> str:
    variant, stack = template.name.split(".")[:2]
    return f"{variant}/{stack}/{part}"


def linted(templates: Path) -> list[Finding]:
    """What cfn-lint says: errors and warnings."""
    return [
        Finding(match.rule.id, where(path, "/".join(map(str, match.path))), match.message)
        for path in sorted(templates.glob("*.template.json"))
        for match in cfn_lint.lint_file(path)
    ]


def checked(templates: Path) -> list[Finding]:
    """What checkov says. Without downloads and an account it calls nobody."""
    assert CHECKOV.is_file(), f"install it first: make {CHECKOV.relative_to(ROOT)}"
    done = subprocess.run(
        [
            *(str(CHECKOV), "--directory", str(templates), "--framework", "cloudformation"),
            *("--output", "json", "--compact", "--skip-download"),
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    results = json.loads(done.stdout)["results"]
    read = {Path(each["file_path"]).name for every in results.values() for each in every}
    assert read == {each.name for each in templates.iterdir()}, done.stderr
    return [
        Finding(
            each["check_id"], where(Path(each["file_path"]), each["resource"]), each["check_name"]
        )
        for each in results["failed_checks"]
    ]


def hold(findings: Iterable[Finding], accepted: dict[tuple[str, str], str]) -> None:
    """Every finding has an entry, and every entry a finding."""
    unused = set(accepted)
    new = []
    for finding in findings:
        entries = {
            (rule, place)
            for rule, place in accepted
            if rule == finding.rule and fnmatchcase(finding.where, place)
        }
        unused -= entries
        if not entries:
            new.append(finding)
    assert not new, "\n".join(map(str, new))
    assert unused == set(), "these are found nowhere: delete them"


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_finding_is_left_unaccepted(synthesize: Synthesize, variant: str) -> None:
    """No rule of AWS Solutions is broken without a written reason, whatever is chosen."""
    assert synthesize(VARIANTS[variant]).findings == []


@pytest.mark.parametrize("option", OPTIONS)
def test_no_option_needs_another_to_be_clean(synthesize: Synthesize, option: str) -> None:
    """Each option by itself breaks no rule either."""
    assert synthesize(replace(DEV, **{option: OPTIONS[option]})).findings == []


def test_cfn_lint_finds_nothing_that_is_not_accepted(templates: Path) -> None:
    """Every property has a name, type and value that CloudFormation's resource schemas allow."""
    hold(linted(templates), ACCEPTED_BY_CFN_LINT)


def test_checkov_finds_nothing_that_is_not_accepted(templates: Path) -> None:
    """No setting is less safe than checkov asks for, without a written reason."""
    hold(checked(templates), ACCEPTED_BY_CHECKOV)


def test_the_rules_are_really_checked(tmp_path: Path) -> None:
    """A bucket that is open to plain HTTP, put next to the system, is found."""
    app = App(outdir=str(tmp_path), context=context())
    compose(app, DEV, catalogue())
    stack = Stack(app, "careless")
    aws_s3.Bucket(stack, "Bucket")

    with pytest.raises(RuntimeError, match=r"[Vv]alidation"):
        app.synth()

    found = Synthesized(DEV, tmp_path).findings
    assert {"AwsSolutions-S1", "AwsSolutions-S10"} <= {each["ruleName"] for each in found}


def test_linters_see_what_is_wrong(tmp_path: Path) -> None:
    """A queue that keeps messages for a year, and a bucket that anybody may write to, are found."""
    template = {
        "Resources": {
            "Queue": {
                "Type": "AWS::SQS::Queue",
                "Properties": {"MessageRetentionPeriod": 31536000},
            },
            "Bucket": {
                "Type": "AWS::S3::Bucket",
                "Properties": {"AccessControl": "PublicReadWrite"},
            },
        }
    }
    (tmp_path / "dev.careless.template.json").write_text(json.dumps(template))

    found = {(each.rule, each.where) for find in (linted, checked) for each in find(tmp_path)}
    assert (
        "E3034",
        "dev/careless/Resources/Queue/Properties/MessageRetentionPeriod",
    ) in found
    assert ("CKV_AWS_57", "dev/careless/AWS::S3::Bucket.Bucket") in found
    with pytest.raises(AssertionError, match="CKV_AWS_57"):
        hold(checked(tmp_path), ACCEPTED_BY_CHECKOV)
    with pytest.raises(AssertionError, match="found nowhere"):
        hold([], ACCEPTED_BY_CHECKOV)
