"""Answers that show what a task stored: whatever that is, they are JSON.

A worker stores what its code returns. Not all of it is JSON that every reader understands: NaN,
half of a surrogate pair, a list in a list a thousand levels deep.
"""

from __future__ import annotations

import json
import math
from typing import Any

from fastapi.responses import JSONResponse

from celeriac.contract import Artifact
from celeriac.http.links import file_path


class JsonAnswer(JSONResponse):
    """JSON whose texts are valid Unicode: half of a surrogate pair becomes U+FFFD."""

    def render(self, content: Any) -> bytes:
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        try:
            return text.encode()
        except UnicodeEncodeError:
            return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def shown(value: Any) -> Any:
    """A result as callers see it, at any depth.

    Each artifact gets a ``url``, where GET answers with a link to its bytes. A number that JSON
    doesn't have becomes null.
    """
    root = [value]
    waiting: list[tuple[Any, Any]] = [(root, 0)]
    while waiting:
        holder, place = waiting.pop()
        match holder[place]:
            case dict(members):
                copy = dict(members)
                if copy.keys() >= Artifact.model_fields.keys() and isinstance(copy["key"], str):
                    copy["url"] = file_path(copy["key"])
                holder[place] = copy
                waiting += [(copy, name) for name in copy]
            case list(members):
                holder[place] = [*members]
                waiting += [(holder[place], each) for each in range(len(members))]
            case float(number) if not math.isfinite(number):
                holder[place] = None
    return root[0]
