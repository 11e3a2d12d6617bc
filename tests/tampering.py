"""A deployment with one thing broken: its API answers, or AWS describes it, otherwise."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from infra.caller import Answer, Api
from infra.rehearsal.function import Response
from infra.verify.deployment import Deployment

#: Changes an answer of the API to a request: its method, its path.
Tamper = Callable[[str, str, Response], Response]


@dataclass(frozen=True)
class TamperedApi:
    """An API whose answers are changed."""

    api: Api
    tamper: Tamper

    def request(self, method: str, path: str, **request: Any) -> Answer:
        answer = self.api.request(method, path, **request)
        found = Response(answer.status, answer.headers, answer.body)
        return self.tamper(method, path, found)


class TamperedClient:
    """A client of AWS, one of whose operations answers otherwise."""

    def __init__(self, client: Any, operation: str, change: Callable[[Any], Any]) -> None:
        self._client = client
        self._operation = operation
        self._change = change

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._client, name)
        if name == self._operation:
            return lambda **arguments: self._change(attribute(**arguments))
        if name == "get_paginator":
            return self._paginator
        return attribute

    def _paginator(self, operation: str) -> Any:
        pages = self._client.get_paginator(operation)
        return (
            TamperedClient(pages, "paginate", lambda found: map(self._change, found))
            if (operation == self._operation)
            else pages
        )


def _with_json(answer: Response, **changed: object) -> Response:
    return replace(answer, body=json.dumps({**answer.json(), **changed}))


def _accepts_all(method: str, path: str, answer: Response) -> Response:
    wrong = answer.status == 422 and "total_steps" in answer.body
    return replace(answer, status=202) if wrong else answer


def _knows_all(method: str, path: str, answer: Response) -> Response:
    return replace(answer, status=200) if answer.status == 404 else answer


def _replays_silently(method: str, path: str, answer: Response) -> Response:
    headers = {
        name: value for name, value in answer.headers.items() if name != "idempotent-replayed"
    }
    return replace(answer, headers=headers)


def _cancels_nothing(method: str, path: str, answer: Response) -> Response:
    revoked = method == "DELETE" and answer.status == 200
    return _with_json(answer, status="PENDING") if revoked else answer


def _reaches_no_s3(method: str, path: str, answer: Response) -> Response:
    return _with_json(answer, checks={"s3": "failed"}) if path == "/health/ready" else answer


def _without_an_alarm(page: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**page, "MetricAlarms": page["MetricAlarms"][1:]}


def _without_wake(page: Mapping[str, Any]) -> Mapping[str, Any]:
    kept = [each for each in page["ScalingPolicies"] if not each["PolicyName"].endswith("-wake")]
    return {**page, "ScalingPolicies": kept}


def _unencrypted(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"Attributes": {**answer["Attributes"], "SqsManagedSseEnabled": "false"}}


def _provisioned(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    billing = {"BillingMode": "PROVISIONED"}
    return {"Table": {**answer["Table"], "BillingModeSummary": billing}}


_APIS: Mapping[str, Tamper] = {
    "cancel-waiting": _cancels_nothing,
    "idempotency": _replays_silently,
    "ready": _reaches_no_s3,
    "unknown-task": _knows_all,
    "wrong-payload": _accepts_all,
}
_CLIENTS: Mapping[str, tuple[str, str, Callable[[Any], Any]]] = {
    "alarms": ("cloudwatch", "describe_alarms", _without_an_alarm),
    "queues": ("sqs", "get_queue_attributes", _unencrypted),
    "scaling": ("application-autoscaling", "describe_scaling_policies", _without_wake),
    "table": ("dynamodb", "describe_table", _provisioned),
}

#: The checks whose claim ``broken`` breaks.
BROKEN = sorted([*_APIS, *_CLIENTS])


def broken(deployment: Deployment, id: str) -> Deployment:
    """The deployment with that broken which the check claims."""
    if id in _APIS:
        return replace(deployment, api=TamperedApi(deployment.api, _APIS[id]))
    service, operation, change = _CLIENTS[id]

    def client(name: str) -> Any:
        found = deployment.client(name)
        return TamperedClient(found, operation, change) if name == service else found

    return replace(deployment, client=client)
