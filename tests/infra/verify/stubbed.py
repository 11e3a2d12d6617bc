"""A deployment on AWS whose answers a test gives, held against AWS's own service models."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import boto3
from botocore.stub import Stubber

from celeriac.cdk import Mail
from infra.cdk.environments import DEV
from infra.rehearsal.function import Response
from infra.verify.aws import OnAws
from infra.verify.deployment import Deployment
from infra.verify.trial import Trial

REGION = "eu-central-1"
ACCOUNT = "123456789012"
OUTPUTS = {
    "API": f"https://abc.execute-api.{REGION}.amazonaws.com",
    "CELERIAC_BUCKET_NAME": f"celeriac-dev-{ACCOUNT}-{REGION}",
    "CELERIAC_CLUSTER_NAME": "celeriac-dev",
    "CELERIAC_DRAIN_WINDOW": "PT1M40S",
    "CELERIAC_ENVIRONMENT": "dev",
    "CELERIAC_MAIL_FROM": "tasks@celeriac.dev",
    "CELERIAC_QUEUE_URL_PREFIX": f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/celeriac-dev-",
    "CELERIAC_SCHEDULE_GROUP": "celeriac-dev",
    "CELERIAC_TABLE_NAME": "celeriac-dev",
}

CLUSTER = OUTPUTS["CELERIAC_CLUSTER_NAME"]
TASK = f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/{CLUSTER}/0198"


@dataclass
class Aws:
    """The clients of a deployment. Each answers with what it was given, in that order."""

    stubs: dict[str, Stubber] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        return self.stub(service).client

    def gives(self, service: str, operation: str, answer: Mapping[str, Any], **asked: Any) -> None:
        """Answer one call; with ``asked``, only if it was asked for exactly this."""
        self.stub(service).add_response(operation, dict(answer), asked or None)

    def assert_all_asked(self) -> None:
        """Every answer was asked for."""
        for stub in self.stubs.values():
            stub.assert_no_pending_responses()

    def stub(self, service: str) -> Stubber:
        """The stub of a service's client."""
        if service not in self.stubs:
            client: Any = boto3.client(  # type: ignore[call-overload]
                service,
                region_name=REGION,
                aws_access_key_id="test",
                aws_secret_access_key="test",
            )
            self.stubs[service] = Stubber(client)
            self.stubs[service].activate()
        return self.stubs[service]


@dataclass
class ScriptedApi:
    """An API that answers each request from a table: by method and path, one after the other."""

    answers: dict[str, list[Response]] = field(default_factory=dict)

    def says(self, request: str, status: int, body: object = None, **headers: str) -> None:
        """Answer one request, such as ``GET /health``. The last answer is repeated."""
        given = Response(status, headers, json.dumps(body))
        self.answers.setdefault(request, []).append(given)

    def request(self, method: str, path: str, **request: Any) -> Response:
        found = self.answers[f"{method} {path}"]
        return found.pop(0) if len(found) > 1 else found[0]


@dataclass(frozen=True, kw_only=True)
class Stubbed(OnAws):
    """A deployment on AWS whose operator's commands print what a test gives."""

    prints: Mapping[str, str] = field(default_factory=dict)

    def python(self, program: str) -> str:
        return self.prints["python"]

    def celeriac(self, *arguments: str) -> str:
        return self.prints[" ".join(arguments)]


def stubbed(aws: Aws, api: ScriptedApi, prints: Mapping[str, str] | None = None) -> Stubbed:
    """The deployment ``dev``, with an address for mail and one for alarms."""
    return Stubbed(
        environment=replace(
            DEV,
            mail=Mail(sender="tasks@celeriac.dev"),
            alarm_email="on-call@celeriac.dev",
            idle=timedelta(minutes=10),
        ),
        region=REGION,
        variables=OUTPUTS,
        command_variables={},
        api=api,
        client=aws.client,
        prints=prints or {},
    )


def on(deployment: Deployment) -> Trial:
    return Trial(deployment, "key", timedelta(minutes=10))


def task(status: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "long-running",
        "status": status,
        "error": None,
        "created_at": "2026-11-28T12:00:00Z",
        "started_at": "2026-11-28T12:00:50Z",
        **more,
    }


def accepts(api: ScriptedApi, *then: Mapping[str, Any]) -> None:
    """Take one task, which is then seen in these states."""
    api.says("POST /tasks/long-running", 202, {"task_id": "t1"})
    for each in then:
        api.says("GET /tasks/t1", 200, each)


def alarm_of(name: str, state: str) -> dict[str, Any]:
    return {"AlarmName": name, "StateValue": state}
