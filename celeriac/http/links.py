"""Paths as callers see them: below the prefix, mount or stage that the API is served under.

Every path in an answer goes through ``at``: ``Location``, ``links``, ``url``, a problem's ``type``.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any
from urllib.parse import quote, urlencode

from pydantic import BaseModel
from starlette.types import Scope

#: The header of a page, for the documentation.
LINK: dict[str, Any] = {
    "Link": {
        "description": 'The next page, as rel="next" (RFC 8288).',
        "schema": {"type": "string"},
    }
}

#: The path above the API's own paths, for the request under way.
_BASE: ContextVar[str] = ContextVar("celeriac_base", default="")


def set_base(scope: Scope, own_path: str = "") -> None:
    """Learn from a request where the API is.

    ``own_path`` is the path inside the API that the request asks for. What precedes it in the
    request's path is the prefix of ``include_router``. A mount, a proxy or a stage is in
    ``root_path``.
    """
    root = scope.get("root_path", "").rstrip("/")
    prefix = scope["path"].removesuffix(own_path) if own_path else ""
    # A mount and uvicorn's --root-path leave the root in the path. A proxy's may be cut off.
    if prefix == root or prefix.startswith(f"{root}/"):
        prefix = prefix[len(root) :]
    _BASE.set(quote(root + prefix))


def at(path: str) -> str:
    """A path of the API, such as ``/tasks/t-1``, as the caller must ask for it."""
    return _BASE.get() + path


def next_page(path: str, options: BaseModel, cursor: str | None) -> dict[str, str]:
    """The header that links a page's next one, if there is one (RFC 8288)."""
    if cursor is None:
        return {}
    asked = options.model_dump(mode="json", exclude_unset=True) | {"cursor": cursor}
    return {"Link": f'<{path}?{urlencode(asked)}>; rel="next"'}


def task_path(task_id: str) -> str:
    """Where a task is."""
    return at(f"/tasks/{quote(task_id, safe='')}")


def file_path(key: str) -> str:
    """Where an artifact can be fetched from."""
    return at(f"/files/{quote(key)}")


def schedule_path(schedule_id: str) -> str:
    """Where a schedule is."""
    return at(f"/schedules/{quote(schedule_id, safe='')}")
