"""What a request needs permission for, and whether a role's policies give it."""

from __future__ import annotations

import json
from dataclasses import replace
from urllib.parse import urlencode

import pytest

from infra.cdk.environments import DEV
from infra.rehearsal.calls import ACCOUNT, REGION, Asked, asked_by
from infra.rehearsal.permissions import by_workers_of, check
from infra.rehearsal.templates import Templates
from tasks.contract import Queue
from tests.infra.conftest import Synthesize, Synthesized

KEY = "AKIAWATCHED000000000"


def asked(
    service: str, *, path: str = "/", query: str = "", target: str = "", body: str = ""
) -> list[Asked]:
    """What a signed POST to a service needs permission for."""
    scope = f"Credential={KEY}/20261125/{REGION}/{service}/aws4_request"
    call = {
        "method": "POST",
        "path": path,
        "query": query,
        "authorization": f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=00",
        "target": target,
        "body": body,
    }
    return list(asked_by(call))


def mail(*, sender: str, recipient: str) -> list[Asked]:
    """What a mail in raw form needs permission for."""
    body = {
        "FromEmailAddress": f"Tasks <{sender}>",
        "Destination": {"ToAddresses": [recipient]},
        "Content": {"Raw": {"Data": ""}},
    }
    return asked("ses", path="/v2/email/outbound-emails", body=json.dumps(body))


def denied(calls: list[Asked], synthesized: Synthesized, queue: Queue) -> list[str]:
    """Which of the calls the template doesn't allow to this queue's workers."""
    templates = Templates(synthesized.directory, synthesized.environment.prefix, schedule_role="-")
    plain = {(each.key, each.action, each.resource, tuple(each.context.items())) for each in calls}
    return check(plain, {KEY: templates.worker_policies(queue.queue_name)}, {}).denied


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
def test_a_call_of_a_service_that_nobody_is_granted_is_refused(
    dev: Synthesized, calls: list[Asked], action: str
) -> None:
    """However the protocol names the operation, the call is named, and found to be denied."""
    assert denied(calls, dev, Queue.DEFAULT) == [f"{KEY}: {action} on *"]


def test_mail_may_go_to_anyone_from_the_one_sender(synthesize: Synthesize) -> None:
    """A recipient whose identity the account has verified is asked for, and is no obstacle.

    A sender that isn't the deployment's is denied, whosever identities are asked for.
    """
    mailing = synthesize(replace(DEV, mail_from="tasks@celeriac.dev"))
    ours = mail(sender="tasks@celeriac.dev", recipient="Reader <reader@celeriac.dev>")
    others = mail(sender="boss@celeriac.dev", recipient="reader@celeriac.dev")

    identities = {each.resource.rpartition(":")[2] for each in ours}
    assert identities == {"identity/tasks@celeriac.dev", "identity/reader@celeriac.dev"}
    assert denied(ours, mailing, Queue.EMAIL) == []
    assert len(denied(others, mailing, Queue.EMAIL)) == len(others)
    assert len(denied(ours, mailing, Queue.DEFAULT)) == len(ours)


@pytest.mark.parametrize("queue", Queue, ids=lambda each: each.queue_name)
def test_each_queues_workers_may_do_of_their_own_what_others_do_of_theirs(
    dev: Synthesized, queue: Queue
) -> None:
    """Their own queue and dead letters stand for the others'; what isn't theirs stays denied."""
    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{DEV.prefix}-"
    own = [
        Asked(KEY, "sqs:ReceiveMessage", arn + Queue.DEFAULT.queue_name),
        Asked(KEY, "sqs:SendMessage", arn + Queue.DEFAULT.dead_letter_name),
    ]
    foreign = [Asked(KEY, "sqs:ReceiveMessage", f"{arn}schedules-dead-letter")]

    theirs = by_workers_of(queue, own + foreign, instead_of=Queue.DEFAULT)

    assert [each.resource for each in theirs] == [
        arn + queue.queue_name,
        arn + queue.dead_letter_name,
        foreign[0].resource,
    ]
    assert len(denied(theirs, dev, queue)) == 1
    assert bool(denied(own, dev, queue)) == (queue is not Queue.DEFAULT)
