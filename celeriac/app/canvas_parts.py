"""What a message leaves out of a large call: its chain, its chord, its callbacks and errbacks.

A chain of 40 steps with 40 KB each is larger than a message may be: SQS takes 1 MiB, EventBridge
Scheduler 256 KB. The record keeps the call, so the message only says that there are such parts.
They are read before others are told of the task's end.
"""

from __future__ import annotations

from typing import Any

from kombu.utils.functional import maybe_list

from celeriac.storage.services import services
from celeriac.storage.values import ValueMissingError
from celeriac.transport.call import Call
from celeriac.transport.message import HEADER

#: The options of a call in which there are signatures.
PARTS = ("chain", "chord", "link", "link_error")
#: In our header: the parts are where the arguments are.
LEFT_OUT = "canvas"


def leave_out(options: dict[str, Any]) -> bool:
    """Take the parts out of a message's options; whether there were any."""
    left_out = [options.pop(name, None) for name in PARTS]
    return any(left_out)


def put_back(request: Any, call: Call) -> None:
    """Give a request the parts that its message has left out."""
    if _missing(request):
        options = call.options
        request.update(
            chain=options.get("chain"),
            chord=options.get("chord"),
            callbacks=maybe_list(options.get("link")),
            errbacks=maybe_list(options.get("link_error")),
            whole=True,
        )


def whole(request: Any) -> Any:
    """The request, with all of its parts.

    Raises:
        botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError: they can't be read now.
    """
    if request is not None and _missing(request):
        own = request.get(HEADER)
        try:
            text = services().values.get(own.get("tenant"), request.id, own["input"])
        except ValueMissingError:
            return request  # expired, with the records of all that it would tell
        put_back(request, Call.from_text(text))
    return request


def _missing(request: Any) -> bool:
    own = request.get(HEADER) or {}
    return bool(own.get(LEFT_OUT) and own.get("input")) and not request.get("whole")
