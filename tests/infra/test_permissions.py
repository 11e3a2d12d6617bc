"""What a request needs permission for, and whether a role's policies give it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from aws_cdk import App

from celeriac.contract import Queue, catalogue
from celeriac.topology import TABLE, UNFINISHED, IndexShape
from infra.cdk.app import compose
from infra.cdk.environments import DEV
from infra.rehearsal.calls import ACCOUNT, LEADING_KEY, REGION, Asked, asked_by
from infra.rehearsal.permissions import by_workers_of, check
from infra.rehearsal.templates import Templates
from tasks.queues import DEFAULT, EMAIL, MAINTENANCE
from tests.infra.conftest import Synthesized, context

QUEUES = catalogue().queues


KEY = "AKIAWATCHED000000000"
TABLE_NAME = {"TableName": DEV.prefix}


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    """The templates of dev, with the task types there are: ``cleanup`` repairs."""
    directory: Path = tmp_path_factory.mktemp("real")
    app = App(outdir=str(directory), context=context())
    compose(app, DEV, catalogue())
    app.synth()
    return Synthesized(DEV, directory)


def asked(
    service: str,
    *,
    method: str = "POST",
    path: str = "/",
    query: str = "",
    target: str = "",
    body: str = "",
) -> list[Asked]:
    """What a signed request to a service needs permission for."""
    scope = f"Credential={KEY}/20261125/{REGION}/{service}/aws4_request"
    call = {
        "method": method,
        "path": path,
        "query": query,
        "authorization": f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=00",
        "target": target,
        "body": body,
    }
    return list(asked_by(call))


def mail(*, sender: str, recipient: str, configuration_set: str = DEV.prefix) -> list[Asked]:
    """What a mail in raw form needs permission for."""
    body = {
        "ConfigurationSetName": configuration_set,
        "FromEmailAddress": f"Tasks <{sender}>",
        "Destination": {"ToAddresses": [recipient]},
        "Content": {"Raw": {"Data": ""}},
    }
    return asked("ses", path="/v2/email/outbound-emails", body=json.dumps(body))


def denied(calls: list[Asked], synthesized: Synthesized, queue: Queue) -> list[str]:
    """Which of the calls the template doesn't allow to this queue's workers."""
    return _denied(calls, templates(synthesized).worker_policies(queue.name))


def refused_to_fire(calls: list[Asked], synthesized: Synthesized) -> list[str]:
    """Which of the calls the template doesn't allow to the function that fires."""
    return _denied(calls, templates(synthesized).fire_policies())


def templates(synthesized: Synthesized) -> Templates:
    """The templates, with a name for the role that schedules take."""
    prefix = synthesized.environment.prefix
    return Templates(synthesized.directory, prefix, schedule_role="the schedules' role")


def _denied(calls: list[Asked], policies: list[dict[str, Any]]) -> list[str]:
    plain = {(each.key, each.action, each.resource, tuple(each.context.items())) for each in calls}
    return check(plain, {KEY: policies}, {}).denied


@pytest.mark.parametrize(
    ("calls", "action"),
    [
        (asked("sts", body=urlencode({"Action": "GetCallerIdentity"})), "sts:GetCallerIdentity"),
        (asked("sns", query=urlencode({"Action": "Publish"})), "sns:Publish"),
        (asked("kms", target="TrentService.Decrypt", body="{}"), "kms:Decrypt"),
        (asked("lambda", path="/2015-03-31/functions"), "lambda:POST /2015-03-31/functions"),
    ],
    ids=["form", "url", "target", "path"],
)
def test_a_call_of_a_service_without_a_grant_is_refused(
    dev: Synthesized, calls: list[Asked], action: str
) -> None:
    """However the protocol names the operation, the call is named, and found to be denied."""
    assert denied(calls, dev, DEFAULT) == [f"{KEY}: {action} on *"]


def test_mail_may_go_to_anyone_from_the_one_sender(mailing: Synthesized) -> None:
    """A recipient whose identity the account has verified is asked for, and is no obstacle.

    A sender that isn't the deployment's is denied, whosever identities are asked for. So is a
    configuration set that isn't.
    """
    ours = mail(sender="tasks@celeriac.dev", recipient="Reader <reader@celeriac.dev>")
    others = mail(sender="boss@celeriac.dev", recipient="reader@celeriac.dev")

    assert {each.resource.rpartition(":")[2] for each in ours} == {
        "identity/tasks@celeriac.dev",
        "identity/reader@celeriac.dev",
        "configuration-set/celeriac-dev",
    }
    assert denied(ours, mailing, EMAIL) == []
    assert len(denied(others, mailing, EMAIL)) == len(others)
    elsewhere = mail(
        sender="tasks@celeriac.dev", recipient="reader@celeriac.dev", configuration_set="another"
    )
    assert [each.rpartition("/")[2] for each in denied(elsewhere, mailing, EMAIL)] == ["another"]
    assert len(denied(ours, mailing, DEFAULT)) == len(ours)


def call(operation: str, **parameters: Any) -> list[Asked]:
    """What a call of DynamoDB needs permission for."""
    table = {} if "TransactItems" in parameters or "RequestItems" in parameters else TABLE_NAME
    body = json.dumps({**table, **parameters})
    return asked("dynamodb", target=f"DynamoDB_20120810.{operation}", body=body)


def touching(partition: str) -> dict[str, list[Asked]]:
    """Every call that reads or writes items of a partition, by its name."""
    key = {"pk": {"S": partition}, "sk": {"S": "any"}}
    # A record names partitions of indexes too, which say nothing of where it is.
    item = {**key, "list_pk": {"S": "task#other"}}
    name = DEV.prefix
    mine = {"TableName": name, "Item": {**key, "pk": {"S": "task#1"}}}
    return {
        "GetItem": call("GetItem", Key=key),
        "PutItem": call("PutItem", Item=item),
        "UpdateItem": call("UpdateItem", Key=key),
        "DeleteItem": call("DeleteItem", Key=key),
        "BatchGetItem": call("BatchGetItem", RequestItems={name: {"Keys": [key]}}),
        "TransactWriteItems": call(
            "TransactWriteItems",
            TransactItems=[{"Put": mine}, {"Put": {"TableName": name, "Item": item}}],
        ),
    }


def query(partition: str, index: str | None = None, attribute: str = "pk") -> list[Asked]:
    """A query of a partition of the table, or of an index."""
    return call(
        "Query",
        **({"IndexName": index} if index else {}),
        KeyConditionExpression="#p = :p AND sk > :s",
        ExpressionAttributeNames={"#p": attribute},
        ExpressionAttributeValues={":p": {"S": partition}, ":s": {"S": ""}},
    )


@pytest.mark.parametrize("queue", QUEUES, ids=lambda each: each.name)
@pytest.mark.parametrize(
    "partition",
    [
        "task#1",
        "group#1",
        "told#1",
        "stamp#1",
        "limit#1",
        "same#1",
        "schedules#acme",
        "schedule#acme/1",
        "workers",
    ],
)
def test_workers_reach_what_they_need(real: Synthesized, queue: Queue, partition: str) -> None:
    """What is kept about tasks, schedules, heartbeats: to read, to write, in batches, at once."""
    for name, calls in touching(partition).items():
        assert (name, denied(calls, real, queue)) == (name, [])


LISTED = ["workers", "pauses", "schedules#acme", "schedule#acme/1"]


@pytest.mark.parametrize("queue", QUEUES, ids=lambda each: each.name)
@pytest.mark.parametrize("partition", LISTED)
def test_workers_list_what_they_look_through(
    real: Synthesized, queue: Queue, partition: str
) -> None:
    """Who else works, what is paused, and for tasks that ask: schedules and their histories."""
    assert denied(query(partition), real, queue) == []


@pytest.mark.parametrize("queue", QUEUES, ids=lambda each: each.name)
@pytest.mark.parametrize("operation", ["PutItem", "UpdateItem", "DeleteItem"])
def test_workers_pause_nothing(real: Synthesized, queue: Queue, operation: str) -> None:
    """They obey pauses; only callers and operators make them."""
    assert denied(touching("pauses")[operation], real, queue)


@pytest.mark.parametrize("queue", QUEUES, ids=lambda each: each.name)
@pytest.mark.parametrize(
    "partition",
    [
        "keys",
        "requests#1",
        "unfinished#1",
        "health",
        "task",
        "workers2",
        "",
        "keys#task#1",
        "Task#1",
    ],
)
def test_workers_reach_no_other_items(real: Synthesized, queue: Queue, partition: str) -> None:
    """A worker that a file has taken over makes itself no API key."""
    for name, calls in touching(partition).items():
        assert (name, bool(denied(calls, real, queue))) == (name, True)
    assert denied(query(partition), real, queue)


FIRING = {
    "task#1": {"GetItem", "PutItem", "UpdateItem", "DeleteItem"},
    "same#1": {"GetItem", "PutItem"},
    "schedules#acme": {"GetItem", "PutItem", "UpdateItem"},
    "schedule#acme/1": {"PutItem", "UpdateItem"},
    "unfinished#acme": {"GetItem", "UpdateItem"},
    "requests#mails#acme": {"UpdateItem"},
}


@pytest.mark.parametrize("partition", FIRING)
def test_firing_reaches_what_a_submission_touches(real: Synthesized, partition: str) -> None:
    """A schedule's task is recorded, counted, stands for others, and is in the history."""
    calls = touching(partition)

    for name in FIRING[partition]:
        assert (name, refused_to_fire(calls[name], real)) == (name, [])


@pytest.mark.parametrize("partition", ["keys", "workers", "pauses", "limit#1", "stamp#1"])
def test_firing_reaches_no_other_items(real: Synthesized, partition: str) -> None:
    """It makes no API key, and pauses nothing."""
    for name, calls in touching(partition).items():
        assert (name, bool(refused_to_fire(calls, real))) == (name, True)


def test_firing_lists_pauses_histories_and_unfinished_tasks(real: Synthesized) -> None:
    """What wakes a fleet, what fired before, unfinished tasks and heartbeats; nothing else."""
    for partition in ("pauses", "schedule#acme/1", "workers"):
        assert refused_to_fire(query(partition), real) == []
    for partition in ("keys", "schedules#acme", "task#1"):
        assert refused_to_fire(query(partition), real)
    for index in TABLE.indexes:
        calls = query("open#0", index.name, index.partition_key)
        assert bool(refused_to_fire(calls, real)) == (index is not UNFINISHED)


@pytest.mark.parametrize("queue", QUEUES, ids=lambda each: each.name)
def test_firing_sends_to_both_lanes(real: Synthesized, queue: Queue) -> None:
    """A delayed task of high priority goes to its queue's high lane."""
    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{DEV.prefix}-"
    for name in (queue.name, queue.high_name):
        assert refused_to_fire([Asked(KEY, "sqs:SendMessage", arn + name)], real) == []
    assert refused_to_fire([Asked(KEY, "sqs:ReceiveMessage", arn + queue.name)], real)


SCHEDULE = json.dumps(
    {
        "GroupName": DEV.prefix,
        "Target": {"Arn": "-", "RoleArn": "the schedules' role", "Input": "{}"},
    }
)


def test_firing_makes_changes_and_removes_the_deployments_schedules(real: Synthesized) -> None:
    """A debounced task may be due in over 15 minutes; what an edit or a deletion left is set right.

    Another group's schedules are out of reach.
    """

    def calls(method: str, group: str = DEV.prefix) -> list[Asked]:
        body = SCHEDULE.replace(DEV.prefix, group)
        path = "/schedules/a-schedule"
        return asked("scheduler", path=path, method=method, body=body)

    for method in ("POST", "PUT", "DELETE"):
        assert (method, refused_to_fire(calls(method), real)) == (method, [])
        other = refused_to_fire(calls(method, group="another"), real)
        assert (method, bool(other)) == (method, True)


@pytest.mark.parametrize("index", TABLE.indexes, ids=lambda each: each.name)
@pytest.mark.parametrize("queue", QUEUES, ids=lambda each: each.name)
def test_the_repair_alone_finds_unfinished_tasks(
    real: Synthesized, queue: Queue, index: IndexShape
) -> None:
    """Other workers know their tasks by their ids, and none lists what has ended."""
    calls = query("acme#0", index.name, index.partition_key)

    assert [each.context for each in calls] == [{LEADING_KEY: "acme#0"}]
    finds = queue == MAINTENANCE and index is UNFINISHED
    assert bool(denied(calls, real, queue)) == (not finds)


@pytest.mark.parametrize("queue", QUEUES, ids=lambda each: each.name)
@pytest.mark.parametrize("operation", ["Scan", "PartiQLSelect", "DescribeTable", "BatchWriteItem"])
def test_no_worker_reads_the_table_without_a_key(
    real: Synthesized, queue: Queue, operation: str
) -> None:
    """A call without a key would meet the condition on keys, so none of them is granted."""
    put = {"PutRequest": {"Item": {"pk": {"S": "task#1"}, "sk": {"S": "any"}}}}
    batch = {"RequestItems": {DEV.prefix: [put]}} if operation == "BatchWriteItem" else {}

    assert denied(call(operation, **batch), real, queue)


@pytest.mark.parametrize("queue", QUEUES, ids=lambda each: each.name)
def test_each_queues_workers_may_do_of_their_own_what_others_do_of_theirs(
    dev: Synthesized, queue: Queue
) -> None:
    """Their own queue and dead letters stand for the others'; what isn't theirs stays denied."""
    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{DEV.prefix}-"
    own = [
        Asked(KEY, "sqs:ReceiveMessage", arn + DEFAULT.name),
        Asked(KEY, "sqs:SendMessage", arn + DEFAULT.dead_letter_name),
    ]
    foreign = [Asked(KEY, "sqs:ReceiveMessage", f"{arn}schedules-dead-letter")]

    theirs = by_workers_of(queue, own + foreign, instead_of=DEFAULT)

    assert [each.resource for each in theirs] == [
        arn + queue.name,
        arn + queue.dead_letter_name,
        foreign[0].resource,
    ]
    assert len(denied(theirs, dev, queue)) == 1
    assert bool(denied(own, dev, queue)) == (queue != DEFAULT)
