"""A key of one's own: what it encrypts, who may use it, and what a page says of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack

from celeriac.cdk import Celeriac, Mail
from celeriac.contract import catalogue
from infra.cdk.environments import DEV, PROD
from tests.infra.conftest import (
    ROOT,
    STACKS,
    Synthesize,
    Synthesized,
    as_list,
    context,
    statements,
)
from tests.infra.releases import kept

REGION, ACCOUNT = "eu-central-1", "123456789012"
ARN = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
MAIL = Mail(sender="tasks@celeriac.dev")

#: Where each type of resource says which key encrypts it.
ENCRYPTED = {
    "AWS::DynamoDB::Table": ("SSESpecification", "KMSMasterKeyId"),
    "AWS::Logs::LogGroup": ("KmsKeyId",),
    "AWS::S3::Bucket": (
        *("BucketEncryption", "ServerSideEncryptionConfiguration", 0),
        *("ServerSideEncryptionByDefault", "KMSMasterKeyID"),
    ),
    "AWS::SNS::Topic": ("KmsMasterKeyId",),
    "AWS::SQS::Queue": ("KmsMasterKeyId",),
}


@pytest.fixture(scope="module", params=["create", ARN], ids=["own", "existing"])
def encrypted(request: pytest.FixtureRequest, synthesize: Synthesize) -> Synthesized:
    return synthesize(replace(PROD, mail=MAIL, kms_key=request.param))


@pytest.fixture(scope="module")
def own(synthesize: Synthesize) -> Synthesized:
    return synthesize(replace(PROD, mail=MAIL, kms_key="create"))


@pytest.fixture(scope="module")
def chapter() -> str:
    return (ROOT / "docs" / "own-key.md").read_text()


def resources(synthesized: Synthesized) -> Iterator[tuple[str, dict[str, Any]]]:
    for stack in STACKS:
        for resource in synthesized.template(stack)["Resources"].values():
            yield stack, resource


def plain(value: Any) -> Any:
    """A value of a template as it is in one account and region."""
    known = {
        "AWS::Region": REGION,
        "AWS::AccountId": ACCOUNT,
        "AWS::Partition": "aws",
        "AWS::URLSuffix": "amazonaws.com",
    }
    match value:
        case {"Ref": str(name)} if name in known:
            return known[name]
        case {"Fn::Join": [str(separator), list(parts)]}:
            joined = [plain(each) for each in parts]
            if all(isinstance(each, str) for each in joined):
                return separator.join(joined)
            return joined
        case dict():
            return {name: plain(each) for name, each in value.items()}
        case list():
            return [plain(each) for each in value]
        case _:
            return value


def is_key(synthesized: Synthesized, value: Any) -> bool:
    """Whether a value is the ARN of the deployment's key, in this stack or imported."""
    if synthesized.environment.kms_key == ARN:
        return bool(value == ARN)
    return bool(re.fullmatch(r".*:?Key[0-9A-F]{8}(Arn\w*)?", next(iter(_leaves(value)), "")))


def _leaves(value: Any) -> Iterator[str]:
    """The names in a reference."""
    match value:
        case {"Fn::GetAtt": [str(name), "Arn"]}:
            yield name
        case {"Fn::ImportValue": str(name)} if "FnGetAttKey" in name:
            yield name.rpartition("FnGetAtt")[2]


def through(statement: dict[str, Any]) -> set[str]:
    """The services that a statement lets use the key."""
    (condition,) = statement["Condition"].values()
    return {each.split(".")[0] for each in plain(as_list(condition["kms:ViaService"]))}


def uses_of_key(synthesized: Synthesized) -> dict[str, list[dict[str, Any]]]:
    """By a role's logical id: the statements of its policies that name a KMS action."""
    found: dict[str, list[dict[str, Any]]] = {}
    for _, resource in resources(synthesized):
        if resource["Type"] not in {"AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"}:
            continue
        of_key = [
            each
            for each in statements([resource["Properties"]])
            if any(action.startswith("kms:") for action in as_list(each["Action"]))
        ]
        for role in resource["Properties"].get("Roles", []) if of_key else []:
            found.setdefault(role["Ref"], []).extend(of_key)
    return found


def test_everything_that_keeps_data_is_encrypted_with_the_key(encrypted: Synthesized) -> None:
    """Table, bucket, every queue, every log group, every topic. Nothing else is left to AWS's."""
    seen = set()
    for stack, resource in resources(encrypted):
        if path := ENCRYPTED.get(resource["Type"]):
            value: Any = resource["Properties"]
            for step in path:
                value = value[step]
            assert is_key(encrypted, value), (stack, resource)
            seen.add((stack, resource["Type"]))
    assert {type for _, type in seen} == ENCRYPTED.keys()
    assert ("api", "AWS::SQS::Queue") in seen  # mail's events that weren't delivered
    assert {stack for stack, type in seen if type == "AWS::Logs::LogGroup"} == {"workers", "api"}
    assert {stack for stack, type in seen if type == "AWS::SNS::Topic"} == {"data", "ops"}


def test_calls_of_kms_are_few(encrypted: Synthesized) -> None:
    """A bucket key serves many objects, and a data key of a queue lasts an hour."""
    (rule,) = encrypted.one("data", "AWS::S3::Bucket")["BucketEncryption"][
        "ServerSideEncryptionConfiguration"
    ]
    queues = [*encrypted.properties("data", "AWS::SQS::Queue")]

    assert rule["BucketKeyEnabled"] is True
    assert {each["KmsDataKeyReusePeriodSeconds"] for each in queues} == {3600}


def test_the_page_says_how_many_calls_a_queue_makes(own: Synthesized, chapter: str) -> None:
    """SQS asks twice for each role that sends, and once for each that receives, in an hour.

    All roles send to every lane. The API and the queue's own workers receive.
    docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html
    """
    senders, receivers = len(uses_of_key(own)), 2

    assert f"at most {2 * senders + receivers} calls an hour" in " ".join(chapter.split())


def test_who_reads_or_writes_may_use_the_key_and_nobody_else(encrypted: Synthesized) -> None:
    """The API, the workers, the schedules and what fires, by that key and through AWS alone."""
    uses = uses_of_key(encrypted)
    tasks = {
        re.sub(r"[0-9A-F]{8}$", "", role)
        for stack in STACKS
        for role, each in encrypted.template(stack)["Resources"].items()
        if each["Type"] == "AWS::IAM::Role"
        and ("TaskRole" in role or role.startswith(("SchedulesRole", "FireRole", "Role")))
    }

    assert {re.sub(r"[0-9A-F]{8}$", "", role) for role in uses} == tasks
    assert len(tasks) == len(encrypted.properties("workers", "AWS::ECS::Service")) + 3
    for role, found in uses.items():
        for statement in found:
            assert is_key(encrypted, statement["Resource"])
            assert not [each for each in as_list(statement["Action"]) if "*" in each]
        services = set().union(*map(through, found))
        scheduler = role.startswith("SchedulesRole")
        assert services == ({"sqs"} if scheduler else {"dynamodb", "s3", "sqs"})
        for statement in found:
            wanted = {"kms:Decrypt", "kms:GenerateDataKey"}
            assert wanted <= set(as_list(statement["Action"]))
            assert "dynamodb" in through(statement) or wanted == set(statement["Action"])


def test_the_key_is_renewed_and_is_kept_as_the_data_is(
    own: Synthesized, synthesize: Synthesize
) -> None:
    """It has a name, and a month to take back its deletion."""
    key = own.one("data", "AWS::KMS::Key")
    (resource,) = own.all("data", "AWS::KMS::Key")

    assert (key["EnableKeyRotation"], key["PendingWindowInDays"]) == (True, 30)
    assert own.one("data", "AWS::KMS::Alias")["AliasName"] == "alias/celeriac-prod"
    assert resource["DeletionPolicy"] == "RetainExceptOnCreate"
    (unprotected,) = synthesize(replace(DEV, kms_key="create")).all("data", "AWS::KMS::Key")
    assert unprotected["DeletionPolicy"] == "Delete"


def test_an_existing_key_is_made_nowhere(synthesize: Synthesize) -> None:
    """And without a key, nothing is encrypted with one or may use one."""
    existing = synthesize(replace(PROD, mail=MAIL, kms_key=ARN))
    without = synthesize(PROD)

    for stack in STACKS:
        assert existing.all(stack, "AWS::KMS::Key") == []
        assert "kms:" not in json.dumps(without.template(stack))


def services_of(synthesized: Synthesized) -> dict[str, dict[str, Any]]:
    """By its id, each statement of the key's policy that lets a service use it."""
    policy = plain(synthesized.one("data", "AWS::KMS::Key")["KeyPolicy"])
    return {each["Sid"]: each for each in policy["Statement"] if "Service" in each["Principal"]}


def test_the_keys_policy_names_every_log_group(own: Synthesized) -> None:
    """CloudWatch Logs may use the key for each of the deployment's, and for no other."""
    allowed = services_of(own)["Logs"]["Condition"]["ArnLike"]["kms:EncryptionContext:aws:logs:arn"]
    names = [
        resource["Properties"]["LogGroupName"]
        for _, resource in resources(own)
        if resource["Type"] == "AWS::Logs::LogGroup"
    ]
    prefix = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:"

    def covered(name: str) -> bool:
        return any(fnmatchcase(f"{prefix}{name}", each) for each in allowed)

    assert len(names) == 5
    assert all(map(covered, names))
    assert not covered("/celeriac/dev/workers")
    assert not covered("/aws/lambda/another")


def test_only_services_that_publish_may_use_the_key(synthesize: Synthesize) -> None:
    """Those of the alarms' own topic, and those of mail if SES sends it."""
    topic = f"arn:aws:sns:{REGION}:{ACCOUNT}:on-call"
    environments = {
        "plain": replace(DEV, kms_key="create"),
        "mail": replace(DEV, kms_key="create", mail=MAIL),
        "topic": replace(DEV, kms_key="create", alarm_topic_arn=topic),
    }
    found = {name: set(services_of(synthesize(each))) for name, each in environments.items()}

    assert found == {
        "plain": {"Logs", "Alarms"},
        "mail": {"Logs", "Alarms", "MailEvents", "UndeliveredMailEvents"},
        "topic": {"Logs"},
    }


def test_the_page_has_the_policy_that_an_existing_key_needs(own: Synthesized, chapter: str) -> None:
    """It is the one that the deployment's own key gets."""
    block = chapter.partition("    {")[2].partition("\n    }\n")[0]
    policy = json.loads("{" + block + "}")
    written = plain(own.one("data", "AWS::KMS::Key")["KeyPolicy"])

    assert policy == written


def test_a_key_that_is_turned_on_replaces_nothing(own: Synthesized, synthesize: Synthesize) -> None:
    """Table, bucket, queues, log groups and topics are changed in place."""
    without = synthesize(replace(PROD, mail=MAIL))
    before, after = (
        kept({stack: each.template(stack) for stack in STACKS})["resources"]
        for each in (without, own)
    )

    assert before == after


@pytest.mark.parametrize(
    ("key", "fault"),
    [
        ("alias/mine", "must be 'create', or the ARN of a key"),
        (f"arn:aws:kms:{REGION}:{ACCOUNT}:alias/mine", "must be 'create', or the ARN of a key"),
        ("", "must be 'create', or the ARN of a key"),
        (ARN.replace(REGION, "us-east-1"), "kms_key is in us-east-1, and must be in eu-central-1"),
    ],
)
def test_what_is_no_key_of_the_region_is_refused(key: str, fault: str) -> None:
    """Before anything is made: a log group takes neither an alias nor another region's key."""
    with pytest.raises(ValueError, match=fault):
        replace(DEV, account=ACCOUNT, region=REGION, kms_key=key)


def test_the_construct_in_a_stack_of_ones_own_takes_it(tmp_path: Path) -> None:
    """As a field of its ``deployment``: one stack then has the key and all that it encrypts."""
    app = App(outdir=str(tmp_path), context=context())
    stack = Stack(app, "Shop")
    deployment = replace(DEV, mail=MAIL, kms_key="create")
    Celeriac(stack, "Tasks", catalogue=catalogue(), deployment=deployment, project=ROOT)
    app.synth()
    found = json.loads((tmp_path / "Shop.template.json").read_text())["Resources"]
    (key,) = (name for name, each in found.items() if each["Type"] == "AWS::KMS::Key")
    ours = [each for each in found.values() if each["Type"] in ENCRYPTED]

    assert len({each["Type"] for each in ours}) == len(ENCRYPTED)
    assert all(f'"{key}", "Arn"' in json.dumps(each["Properties"]) for each in ours)
