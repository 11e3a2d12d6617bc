"""Who asked for what: every request to the server in the terms of IAM.

A request that does several things (a transaction, a batch over S3 keys, a schedule that is given a
role) is several askings, as AWS checks each of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from email.utils import parseaddr
from functools import partial
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

ACCOUNT = "123456789012"
REGION = "us-east-1"

_SCOPE = re.compile(r"Credential=(?P<key>[^/]+)/\d+/[^/]+/(?P<service>[^/]+)/aws4_request")
#: What a policy's condition on an item's partition is about.
LEADING_KEY = "dynamodb:LeadingKeys"
_PARTITION_KEY = "pk"
_PARTITION_KEYS = {_PARTITION_KEY, "list_pk", "failed_pk", "open_pk"}
_EQUALITIES = re.compile(r"(#?\w+)\s*=\s*(:\w+)")
_KEYS_TO_DELETE = re.compile(r"<Key>(.*?)</Key>")


@dataclass(frozen=True)
class Asked:
    """One permission that a caller needed. ``key`` is its access key id.

    ``context`` are the values that a policy's conditions may compare.
    """

    key: str
    action: str
    resource: str
    context: Mapping[str, str] = field(default_factory=dict)


def asked(environ: Mapping[str, Any], body: bytes) -> Iterator[Asked]:
    """The permissions that a request needs; none for an unsigned one."""
    query = {
        name: values[0]
        for name, values in parse_qs(
            environ.get("QUERY_STRING", ""), keep_blank_values=True
        ).items()
    }
    signed = environ.get("HTTP_AUTHORIZATION") or f"Credential={query.get('X-Amz-Credential', '')}"
    scope = _SCOPE.search(signed)
    if scope:
        reads = _SERVICES.get(scope["service"], partial(_unread, scope["service"]))
        request = _Request(
            method=environ["REQUEST_METHOD"],
            path=unquote(environ["PATH_INFO"]),
            query=query,
            target=environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2],
            body=body,
        )
        for action, resource, *context in reads(request):
            yield Asked(scope["key"], action, resource, *context)


def asked_by(call: Mapping[str, str]) -> Iterator[Asked]:
    """What a call needs permission for that ``celeriac.local.standin`` has kept."""
    environ = {
        "REQUEST_METHOD": call["method"],
        "PATH_INFO": call["path"],
        "QUERY_STRING": call["query"],
        "HTTP_AUTHORIZATION": call["authorization"],
        "HTTP_X_AMZ_TARGET": call["target"],
    }
    return asked(environ, call["body"].encode())


@dataclass(frozen=True)
class _Request:
    method: str
    path: str
    query: dict[str, str]
    target: str
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        parameters: dict[str, Any] = json.loads(self.body or b"{}")
        return parameters


_Needs = Iterator[tuple[Any, ...]]


def _arn(service: str, rest: str) -> str:
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{rest}"


def _sqs(request: _Request) -> _Needs:
    url = request.json.get("QueueUrl") or request.json.get("SourceArn", "")
    # docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/
    # sqs-api-permissions-reference.html: a batch needs its single action's permission.
    action = request.target.removesuffix("Batch")
    yield f"sqs:{action}", _arn("sqs", url.replace(":", "/").rpartition("/")[2])


def _dynamodb(request: _Request) -> _Needs:
    parameters = request.json
    match request.target:
        case "TransactWriteItems":
            for item in parameters["TransactItems"]:
                ((kind, write),) = item.items()
                action = "ConditionCheckItem" if kind == "ConditionCheck" else f"{kind}Item"
                table = _arn("dynamodb", f"table/{write['TableName']}")
                yield f"dynamodb:{action}", table, _leading_key(write)
        case "BatchGetItem":
            for table, wanted in parameters["RequestItems"].items():
                for key in wanted["Keys"]:
                    where = _arn("dynamodb", f"table/{table}")
                    yield "dynamodb:BatchGetItem", where, _leading_key({"Key": key})
        case "BatchWriteItem":
            for table, writes in parameters["RequestItems"].items():
                for (write,) in (each.values() for each in writes):
                    where = _arn("dynamodb", f"table/{table}")
                    yield "dynamodb:BatchWriteItem", where, _leading_key(write)
        case action:
            resource = f"table/{parameters.get('TableName', '')}"
            if index := parameters.get("IndexName"):
                resource += f"/index/{index}"
            yield f"dynamodb:{action}", _arn("dynamodb", resource), _leading_key(parameters)


def _leading_key(parameters: Mapping[str, Any]) -> dict[str, str]:
    """The partition key's value of one item, or of a query; nothing where a call has none.

    AWS compares a policy's ``dynamodb:LeadingKeys`` with all of a request's, and here each is an
    asking of its own.
    """
    item = parameters.get("Key") or parameters.get("Item") or {}
    if _PARTITION_KEY in item:
        return {LEADING_KEY: item[_PARTITION_KEY]["S"]}
    for name, value in _EQUALITIES.findall(parameters.get("KeyConditionExpression", "")):
        if parameters.get("ExpressionAttributeNames", {}).get(name, name) in _PARTITION_KEYS:
            return {LEADING_KEY: parameters["ExpressionAttributeValues"][value]["S"]}
    return {}


def _s3(request: _Request) -> _Needs:
    bucket, _, key = request.path.lstrip("/").partition("/")
    object_ = f"arn:aws:s3:::{bucket}/{key}"
    match request.method, bool(key):
        case (("GET" | "HEAD"), False):
            yield "s3:ListBucket", f"arn:aws:s3:::{bucket}"
        case (("GET" | "HEAD"), True):
            yield "s3:GetObject", object_
        case "DELETE", True if "uploadId" in request.query:
            yield "s3:AbortMultipartUpload", object_
        case "DELETE", True:
            yield "s3:DeleteObject", object_
        case "POST", False if "delete" in request.query:
            for each in _KEYS_TO_DELETE.findall(request.body.decode()):
                yield "s3:DeleteObject", f"arn:aws:s3:::{bucket}/{each}"
        case (("PUT" | "POST"), True):
            yield "s3:PutObject", object_
        case method, _:
            yield f"s3:{method}", f"arn:aws:s3:::{bucket}"


def _scheduler(request: _Request) -> _Needs:
    parameters = request.json
    name = request.path.rpartition("/")[2]
    group = parameters.get("GroupName") or request.query.get("groupName", "default")
    verbs = {"POST": "Create", "PUT": "Update", "DELETE": "Delete", "GET": "Get"}
    yield (
        f"scheduler:{verbs[request.method]}Schedule",
        _arn("scheduler", f"schedule/{group}/{name}"),
    )
    if target := parameters.get("Target"):
        yield (
            "iam:PassRole",
            target["RoleArn"],
            {"iam:PassedToService": "scheduler.amazonaws.com"},
        )


def _ses(request: _Request) -> _Needs:
    if "/suppression/addresses/" in request.path:
        yield "ses:GetSuppressedDestination", "*"
        return
    parameters = request.json
    sender = parseaddr(parameters.get("FromEmailAddress", ""))[1]
    raw = "Raw" in parameters.get("Content", {})
    recipients = chain.from_iterable(parameters.get("Destination", {}).values())
    # In its sandbox SES asks for recipients too, where their identities are the account's.
    addresses = (sender, *(parseaddr(each)[1] for each in recipients))
    resources = [f"identity/{address}" for address in addresses]
    if name := parameters.get("ConfigurationSetName"):
        resources.append(f"configuration-set/{name}")
    for resource in resources:
        yield (
            "ses:SendRawEmail" if raw else "ses:SendEmail",
            _arn("ses", resource),
            {"ses:FromAddress": sender},
        )


def _ecs(request: _Request) -> _Needs:
    parameters = request.json
    if request.target == "RunTask":
        yield "ecs:RunTask", parameters["taskDefinition"]
        return
    if tasks := parameters.get("tasks"):
        yield from ((f"ecs:{request.target}", each) for each in tasks)
        return
    names = parameters.get("services") or [parameters.get("service", "")]
    for name in names:
        yield f"ecs:{request.target}", _arn("ecs", f"service/{parameters['cluster']}/{name}")


def _logs(request: _Request) -> _Needs:
    yield f"logs:{request.target}", _arn("logs", f"log-group:{request.json['logGroupName']}:*")


def _cloudwatch(request: _Request) -> _Needs:
    # Its newer protocol names the operation at the end of the path.
    operation = request.target or request.path.rpartition("/")[2]
    yield f"cloudwatch:{operation}", "*"


def _cloudformation(request: _Request) -> _Needs:
    form = parse_qs(request.body.decode())
    yield f"cloudformation:{form['Action'][0]}", form["StackName"][0]


def _ssm(request: _Request) -> _Needs:
    for name in request.json["Names"]:
        yield f"ssm:{request.target}", _arn("ssm", f"parameter{name}")


def _unread(service: str, request: _Request) -> _Needs:
    """A call of a service that has no reader here: asked of everything, so no role allows it.

    One that roles are to call needs a reader, which knows what the call is about.
    """
    # The query protocol's operation is a field of the form, or of the URL.
    form = parse_qs(request.body.decode(errors="replace"))
    operation = request.target or form.get("Action", [""])[0] or request.query.get("Action")
    yield f"{service}:{operation or f'{request.method} {request.path}'}", "*"


_SERVICES: Mapping[str, Callable[[_Request], _Needs]] = {
    "cloudformation": _cloudformation,
    "dynamodb": _dynamodb,
    "ecs": _ecs,
    "logs": _logs,
    "monitoring": _cloudwatch,
    "s3": _s3,
    "scheduler": _scheduler,
    "ses": _ses,
    "sqs": _sqs,
    "ssm": _ssm,
}


class Recorder:
    """WSGI middleware that writes down what the callers of ``keys`` ask, a line of JSON each."""

    def __init__(self, app: Callable[..., Iterable[bytes]], file: Path, *, keys: str) -> None:
        self._app = app
        self._file = file.open("a", buffering=1)
        self._keys = keys

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        signed = f"{environ.get('HTTP_AUTHORIZATION')} {environ.get('QUERY_STRING')}"
        if self._keys in signed:
            body = environ["wsgi.input"].read(length)
            environ["wsgi.input"] = BytesIO(body)
            for each in asked(environ, body):
                self._file.write(json.dumps(asdict(each)) + "\n")
        return self._app(environ, start_response)


def read(file: Path) -> set[tuple[str, str, str, tuple[tuple[str, str], ...]]]:
    """What was asked, each once: access key id, action, resource, context."""
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    return {
        (each["key"], each["action"], each["resource"], tuple(each["context"].items()))
        for each in lines
    }
