"""A broken image fails its deployment, even if the fleet sleeps."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from boto3.session import Session
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

from celeriac.cdk import worker_check_handler as check
from celeriac.contract import catalogue
from tests.infra.conftest import Synthesized, statements

TYPE = "Custom::CeleriacWorkerCheck"


class Aws:
    """ECS and CloudFormation as the function sees them: what a task's containers end with."""

    def __init__(self) -> None:
        self.status = "UPDATE_IN_PROGRESS"
        self.ends: list[dict[str, Any]] = [{"exitCode": 0}]
        self.refusals = 0
        self.asked: list[dict[str, Any]] = []
        self.stopped: list[str] = []
        self.looks_before_it_ends = 1
        self.answers: list[dict[str, Any]] = []

    def client(self, _: str, **__: Any) -> Aws:
        return self

    def describe_stacks(self, **_: Any) -> dict[str, Any]:
        return {"Stacks": [{"StackStatus": self.status}]}

    def run_task(self, **parameters: Any) -> dict[str, Any]:
        self.asked.append(parameters)
        if self.refusals:
            self.refusals -= 1
            return {"tasks": [], "failures": [{"reason": "Capacity is unavailable at this time."}]}
        return {"tasks": [{"taskArn": "arn:task"}], "failures": []}

    def describe_tasks(self, **_: Any) -> dict[str, Any]:
        self.looks_before_it_ends -= 1
        if self.looks_before_it_ends > 0:
            return {"tasks": [{"lastStatus": "RUNNING", "containers": [{}]}]}
        return {
            "tasks": [
                {"lastStatus": "STOPPED", "stoppedReason": "It ended.", "containers": self.ends}
            ]
        }

    def stop_task(self, *, task: str, **_: Any) -> None:
        self.stopped.append(task)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Aws:
    found = Aws()
    now = iter(range(0, 100_000, 5))
    monkeypatch.setattr("boto3.client", found.client)
    monkeypatch.setattr("time.monotonic", lambda: next(now))
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setattr("urllib.request.urlopen", lambda request, timeout: _Answer(found, request))
    return found


class _Raw(io.BytesIO):
    def stream(self) -> Iterator[bytes]:
        yield self.read()


class _Answer:
    def __init__(self, aws: Aws, request: Any) -> None:
        aws.answers.append(json.loads(request.data))

    def close(self) -> None:
        pass


def ask(aws: Aws, kind: str = "Update") -> dict[str, Any]:
    """What CloudFormation gets for an answer."""
    check.handler(
        {
            "RequestType": kind,
            "ResponseURL": "https://cloudformation.example/answer",
            "StackId": "arn:stack",
            "RequestId": "request",
            "LogicalResourceId": "Check",
            "ResourceProperties": {
                "Fleet": "files",
                "Cluster": "celeriac-dev",
                "Log": "/celeriac/dev/workers, files/worker",
                "Run": json.dumps({"cluster": "celeriac-dev", "taskDefinition": "arn:td:7"}),
            },
        },
        None,
    )
    (answer,) = aws.answers
    return answer


@pytest.mark.parametrize("kind", ["Create", "Update"])
def test_a_worker_that_works_lets_the_deployment_go_on(aws: Aws, kind: str) -> None:
    """It is started once, from the new task definition."""
    assert ask(aws, kind)["Status"] == "SUCCESS"
    assert aws.asked == [{"cluster": "celeriac-dev", "taskDefinition": "arn:td:7"}]


@pytest.mark.parametrize(
    ("container", "said"),
    [
        ({"exitCode": 1}, "1, It ended."),
        ({"exitCode": 137}, "137, It ended."),
        # It never began: no image, no secret, no network.
        ({"reason": "CannotPullContainerError: not found"}, "CannotPullContainerError"),
        ({}, "None, It ended."),
    ],
)
def test_a_worker_that_would_not_work_fails_it(
    aws: Aws, container: dict[str, Any], said: str
) -> None:
    """With the exit code or ECS's reason, and where it says more."""
    aws.ends = [container]
    answer = ask(aws)
    assert answer["Status"] == "FAILED"
    assert said in answer["Reason"]
    assert "/celeriac/dev/workers, files/worker" in answer["Reason"]


@pytest.mark.parametrize(("late", "status"), [(2, "SUCCESS"), (3, "FAILED")])
def test_a_worker_that_never_began_is_started_again(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, late: int, status: str
) -> None:
    """A new execution role can't pull the image yet, for a while; twice more is enough."""
    run_task = aws.run_task

    def start(**parameters: Any) -> dict[str, Any]:
        aws.ends = [{"exitCode": 0} if len(aws.asked) == late else {"reason": "AccessDenied"}]
        return run_task(**parameters)

    monkeypatch.setattr(aws, "run_task", start)
    assert ask(aws)["Status"] == status
    assert len(aws.asked) == 3


def test_a_worker_that_ended_its_check_is_not_started_again(aws: Aws) -> None:
    """It has said what is wrong, and tried for long itself."""
    aws.ends = [{"exitCode": 1}]
    assert ask(aws)["Status"] == "FAILED"
    assert len(aws.asked) == 1


def test_a_full_region_is_tried_again(aws: Aws) -> None:
    """Fargate says for a while that it has no room."""
    aws.refusals = 3
    assert ask(aws)["Status"] == "SUCCESS"
    assert len(aws.asked) == 4


def test_throttling_rolls_nothing_back(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """An account that deploys much is refused for a while, more often than boto3 tries."""
    refusals = iter([b'{"__type": "ThrottlingException"}'] * 8)
    task = b'{"tasks": [{"lastStatus": "STOPPED", "containers": [{"exitCode": 0}]}]}'

    def answer(request: Any, **_: Any) -> AWSResponse:
        body = next(refusals, task)
        return AWSResponse(request.url, 200 if body == task else 400, HTTPHeaders(), _Raw(body))

    def client(service: str, **options: Any) -> Any:
        if service != "ecs":
            return aws
        made: Any = Session(
            aws_access_key_id="x", aws_secret_access_key="x", region_name="eu-central-1"
        ).client("ecs", **options)
        made.run_task = aws.run_task
        made.meta.events.register("before-send.ecs.DescribeTasks", answer)
        return made

    monkeypatch.setattr("boto3.client", client)
    assert ask(aws)["Status"] == "SUCCESS"


def test_a_region_that_stays_full_is_named(aws: Aws) -> None:
    """The reason is Fargate's own."""
    aws.refusals = 10_000
    answer = ask(aws)
    assert answer["Status"] == "FAILED"
    assert "Capacity is unavailable" in answer["Reason"]


def test_a_check_that_hangs_is_stopped(aws: Aws) -> None:
    """Before Lambda ends the function, which would leave CloudFormation without an answer."""
    aws.looks_before_it_ends = 10_000
    assert ask(aws)["Status"] == "FAILED"
    assert aws.stopped == ["arn:task"]


@pytest.mark.parametrize("status", ["UPDATE_ROLLBACK_IN_PROGRESS", "ROLLBACK_IN_PROGRESS"])
def test_a_rollback_checks_nothing(aws: Aws, status: str) -> None:
    """What ran before is kept as it is: a failure would leave the stack between two states."""
    aws.status = status
    aws.ends = [{"exitCode": 1}]
    assert ask(aws)["Status"] == "SUCCESS"
    assert aws.asked == []


def test_a_deletion_checks_nothing(aws: Aws) -> None:
    """The roles may be gone already."""
    assert ask(aws, "Delete")["Status"] == "SUCCESS"
    assert aws.asked == []


def test_an_error_of_aws_is_an_answer(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """CloudFormation isn't left to wait for it, and gets at most the text that it takes."""

    def refuse(**_: Any) -> None:
        raise RuntimeError("AccessDenied" * 1000)

    monkeypatch.setattr(aws, "run_task", refuse)
    answer = ask(aws)
    assert answer["Status"] == "FAILED"
    assert answer["Reason"].startswith("RuntimeError: AccessDenied")
    # docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/crpg-ref-responses.html
    assert len(json.dumps(answer)) < 4096


def test_each_fleet_is_checked_before_its_service_changes(dev: Synthesized) -> None:
    """Its own task definition, in its own network, after its roles."""
    resources = dev.template("workers")["Resources"]
    checks = {id: each for id, each in resources.items() if each["Type"] == TYPE}
    services = [each for each in resources.values() if each["Type"] == "AWS::ECS::Service"]
    assert len(checks) == len(services) == len(catalogue().queues)
    for service in services:
        [id] = set(service["DependsOn"]) & checks.keys()
        wanted = json.dumps(checks[id]["Properties"]["Run"])
        definition = service["Properties"]["TaskDefinition"]["Ref"]
        assert f'{{"Ref": "{definition}"}}' in wanted
        assert "celeriac.worker" in wanted
        assert "--check" in wanted
        role = resources[definition]["Properties"]["TaskRoleArn"]["Fn::GetAtt"][0]
        assert role in checks[id]["DependsOn"]


def test_the_function_is_small_enough_to_be_inline(dev: Synthesized) -> None:
    """CloudFormation takes 4,096 characters."""
    function = dev.one("workers", "AWS::Lambda::Function", Handler="index.handler")
    assert len(function["Code"]["ZipFile"]) <= 4096
    compile(function["Code"]["ZipFile"], "index.py", "exec")


def test_the_function_may_start_these_fleets_and_no_other_task(dev: Synthesized) -> None:
    """And pass their roles to ECS alone."""
    policies = [
        each
        for each in dev.properties("workers", "AWS::IAM::Policy")
        if any("CheckRole" in ref["Ref"] for ref in each["Roles"])
    ]
    found = list(statements(policies))
    started = [each for each in found if each["Action"] == "ecs:RunTask"]
    assert len(started) == len(catalogue().queues)
    assert all("task-definition/celeriacdevworkers" in json.dumps(each) for each in started)
    for each in found:
        if each["Action"] == "iam:PassRole":
            assert each["Condition"] == {
                "StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}
            }
