"""Every call that workers have made in these tests is one that their role allows.

The last file of its package: what the workers of the others have called is held against the
policies of each queue's workers in the synthesized template.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App

from celeriac.contract import catalogue
from celeriac.storage.services import services
from infra.cdk.app import compose
from infra.cdk.environments import DEV
from infra.rehearsal.calls import Asked, asked_by
from infra.rehearsal.permissions import USED_IN_FAULT_TESTS, by_workers_of, check
from infra.rehearsal.templates import Templates
from tasks.queues import DEFAULT
from tests.faults.stack import WORKER_KEY, Stack
from tests.side_by_side import FAULTS, LASTING, TURNS

QUEUES = catalogue().queues


#: Each process that runs fault tests looks at its own workers' calls.
PROCESSES = [FAULTS, LASTING, TURNS]
SCHEDULES = "schedules"


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Templates:
    directory: Path = tmp_path_factory.mktemp("assembly")
    flags = json.loads((Path(__file__).parents[2] / "cdk.json").read_text())["context"]
    app = App(outdir=str(directory), context={**flags, "aws:cdk:bundling-stacks": []})
    compose(app, DEV, catalogue())
    app.synth()
    role = services().settings.schedule_role_arn
    return Templates(directory, DEV.prefix, schedule_role=role)


@pytest.fixture(scope="module")
def calls(package_stack: Stack) -> list[dict[str, str]]:
    return package_stack.aws.kept()


@pytest.fixture(scope="module")
def asked(calls: list[dict[str, str]]) -> list[Asked]:
    return [each for call in calls for each in asked_by(call)]


@pytest.mark.parametrize("process", PROCESSES)
def test_every_call_of_a_worker_is_allowed(
    process: str, asked: list[Asked], templates: Templates
) -> None:
    """Recovery and hand-over need no permission that a quiet day doesn't show, on any queue.

    The workers here are those of one queue. Those of another run the same program, under a role
    of their own.
    """
    denied = {
        queue.name: check(
            plain(by_workers_of(queue, asked, instead_of=DEFAULT)),
            {WORKER_KEY: templates.worker_policies(queue.name)},
            {},
        ).denied
        for queue in QUEUES
    }

    assert asked
    assert denied == {queue.name: [] for queue in QUEUES}


def test_what_is_granted_for_faults_is_used_in_them(asked: list[Asked]) -> None:
    """No reason is kept that says a grant is for a fault, and no fault needs it."""
    assert {each.action for each in asked} >= USED_IN_FAULT_TESTS


def test_what_a_schedule_does_is_allowed_to_its_role(
    calls: list[dict[str, str]], templates: Templates
) -> None:
    """Each schedule that workers have made calls its target, and can send to its dead letters."""
    made = [
        json.loads(each["body"])
        for each in calls
        if each["path"].startswith("/schedules/") and each["method"] in {"POST", "PUT"}
    ]
    targets = [each["Target"] for each in made]
    does = [Asked(SCHEDULES, "lambda:InvokeFunction", each["Arn"]) for each in targets]
    does += [
        Asked(SCHEDULES, "sqs:SendMessage", each["DeadLetterConfig"]["Arn"]) for each in targets
    ]

    findings = check(plain(does), {SCHEDULES: templates.schedule_policies()}, {})

    assert does
    assert findings.denied == []


def plain(asked: list[Asked]) -> set[tuple[Any, ...]]:
    return {(each.key, each.action, each.resource, tuple(each.context.items())) for each in asked}
