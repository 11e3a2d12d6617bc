"""The headers of a task's message, checked: anyone who can write to a queue can write anything.

Celery takes them as they are, in the worker's main process as well as in a child. A header of
another type would end the event loop, or have its message received again and again.
docs.celeryq.dev/en/stable/internals/protocol.html, version 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from celeriac.transport.message import HEADER, MalformedMessageError

_STRICT = ConfigDict(strict=True, extra="allow")


class _Own(BaseModel):
    """The header that is ours."""

    model_config = _STRICT

    v: int = 1
    tenant: str | None = None
    attempt: int | None = Field(None, ge=1)
    due: int | None = Field(None, ge=0)
    input: str | None = None
    places: dict[str, Any] | None = None


class _Headers(BaseModel):
    model_config = _STRICT

    id: str = Field(min_length=1)
    task: str
    retries: int | None = Field(None, ge=0)
    timelimit: tuple[float | None, float | None] | list[float | None] | None = Field(
        None, min_length=2, max_length=2
    )
    eta: str | None = None
    expires: str | None = None
    group: str | None = None
    group_index: int | None = None
    root_id: str | None = None
    parent_id: str | None = None
    shadow: str | None = None
    argsrepr: str | None = None
    kwargsrepr: str | None = None
    origin: str | None = None
    ignore_result: bool | None = None
    replaced_task_nesting: int | None = None
    stamped_headers: list[str] | None = None
    stamps: dict[str, Any] | None = None
    celeriac: _Own | None = None


class _Signature(BaseModel):
    model_config = _STRICT

    task: str


_Signatures = list[_Signature] | None


class _Embedded(BaseModel):
    """What the body says of the canvas that the task belongs to."""

    model_config = _STRICT

    callbacks: _Signatures = None
    errbacks: _Signatures = None
    chain: _Signatures = None
    chord: _Signature | None = None


@cache
def _adapters() -> tuple[TypeAdapter[_Headers], TypeAdapter[_Embedded]]:
    assert HEADER in _Headers.model_fields  # noqa: S101 - one name, in two modules
    return TypeAdapter(_Headers), TypeAdapter(_Embedded)


def check(headers: Mapping[str, Any], body: Any) -> None:
    """Check a message's headers, and the body that was decoded.

    Raises:
        MalformedMessageError: a value has another type than Celery, or we, would give it.
    """
    of_headers, of_embedded = _adapters()
    try:
        of_headers.validate_python(dict(headers))
        args, kwargs, embedded = body
        if not isinstance(args, list | tuple) or not isinstance(kwargs, dict):
            raise MalformedMessageError("its arguments are not a list and an object")
        of_embedded.validate_python(embedded or {})
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise MalformedMessageError(f"{where}: {first['msg']}") from None
    except (TypeError, ValueError) as error:
        if isinstance(error, MalformedMessageError):
            raise
        raise MalformedMessageError("its body is not a task's three parts") from None
