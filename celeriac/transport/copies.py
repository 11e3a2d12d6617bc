"""A copy of a message that was received, to be sent in its place."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from celeriac.transport.held import HeldMessage
from celeriac.transport.message import HEADER


def delayed_copy(held: HeldMessage, seconds: int, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of ``SendMessage`` for a copy that arrives after so many seconds.

    It is in the same group, and has the same body and headers, but for ``changes`` in the header
    that is ours.
    """
    envelope = _envelope(held.body)
    headers = envelope["headers"]
    headers[HEADER] = {**(headers.get(HEADER) or {}), **changes}
    parameters: dict[str, Any] = {
        "QueueUrl": held.queue_url,
        "MessageBody": json.dumps(envelope),
        "DelaySeconds": seconds,
    }
    group = (envelope.get("properties") or {}).get("MessageGroupId")
    if group is not None:
        parameters["MessageGroupId"] = group
    if held.attributes:
        parameters["MessageAttributes"] = {
            name: _attribute(each) for name, each in held.attributes.items()
        }
    return parameters


def _envelope(body: str) -> dict[str, Any]:
    """kombu's envelope, which other producers send as base64 by default."""
    try:
        envelope = json.loads(body)
    except ValueError:
        envelope = json.loads(base64.b64decode(body))
    return dict(envelope)


def _attribute(received: Mapping[str, Any]) -> dict[str, Any]:
    """An attribute as boto3 takes it: SQS's JSON has binary values as base64."""
    given = {name: received[name] for name in _PARTS if name in received}
    if "BinaryValue" in given:
        given["BinaryValue"] = base64.b64decode(given["BinaryValue"])
    return given


_PARTS = ("DataType", "StringValue", "BinaryValue")
