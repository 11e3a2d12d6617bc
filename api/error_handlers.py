"""From whatever was raised to a problem. No error leaves the API in another shape."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from botocore.exceptions import BotoCoreError, ClientError
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from kombu.exceptions import OperationalError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from api.problems import Problem, ProblemType, WrongValue
from celeriac.artifacts import ArtifactNotFoundError
from celeriac.errors import (
    IdempotencyConflictError,
    NotFoundError,
    NotOverError,
    UnavailableError,
    transient,
)
from celeriac.records.listing import BadCursorError
from celeriac.values import ValueMissingError, ValueTooLargeError
from tasks.contract import UnknownTaskTypeError

log = logging.getLogger(__name__)

# A body of megabytes can be wrong in a million places, and a Lambda's answer has 6 MB at most.
MOST_ERRORS = 50

_METHODS = ("DELETE", "GET", "PATCH", "POST", "PUT")


def install(app: FastAPI) -> None:
    """Make the app answer every error with a problem."""
    for kind, problem in _PROBLEMS.items():
        _answer(app, kind, problem)
    app.add_exception_handler(HTTPException, _from_routing)
    app.add_exception_handler(Exception, _last_resort)


def problem_of(error: Exception) -> Problem:
    """The problem that an error of the engine is."""
    for kind, problem in _PROBLEMS.items():
        if isinstance(error, kind):
            return problem(error)
    return _internal(error)


def invalid(errors: Sequence[Mapping[str, Any]], body: Any) -> Problem:
    """The problem for pydantic's errors about a request whose JSON body was ``body``."""
    wrong = [_wrong_value(error, body) for error in errors[:MOST_ERRORS]]
    first = wrong[0]
    detail = f"{first.pointer or first.parameter or first.header}: {first.detail}."
    if len(errors) > 1:
        detail += f" In all {len(errors)} values are wrong: see errors."
    return Problem(ProblemType.INVALID, detail, errors=wrong)


def invalid_payload(error: ValidationError, payload: Any) -> Problem:
    """The problem of a payload that isn't valid, as if it had been the request's body."""
    return invalid([{**each, "loc": ("body", *each["loc"])} for each in error.errors()], payload)


def _answer(app: FastAPI, kind: type[Exception], problem: Callable[[Any], Problem]) -> None:
    async def handle(_: Request, error: Exception) -> Response:
        return problem(error).response()

    app.add_exception_handler(kind, handle)


def _wrong_value(error: Mapping[str, Any], body: Any) -> WrongValue:
    where, *path = error["loc"]
    detail = str(error["msg"]).removeprefix("Value error, ").rstrip(".")[:300]
    match where:
        case "query":
            return WrongValue(parameter=_name(path), detail=detail)
        case "header":
            return WrongValue(header=_name(path).replace("_", "-"), detail=detail)
        case _:
            return WrongValue(pointer=_pointer(path, body, error["type"]), detail=detail)


def _name(path: list[Any]) -> str:
    return str(path[0])[:100] if path else ""


def _pointer(path: list[Any], body: Any, error_type: str) -> str:
    """A pointer into the body: pydantic's path also names validators and members of unions."""
    steps: list[str] = []
    for position, step in enumerate(path):
        within = range(len(body)) if isinstance(body, list) else body
        if isinstance(body, dict | list) and step in within:
            body = body[step]
        elif not (error_type == "missing" and position == len(path) - 1):
            continue
        # RFC 6901, sections 3 and 6: escaped as a pointer, then as a URI fragment.
        steps.append(quote(str(step).replace("~", "~0").replace("/", "~1")[:100], safe="~"))
    return "".join(["#", *(f"/{step}" for step in steps)])


def _bad_cursor(error: BadCursorError) -> Problem:
    return Problem(
        ProblemType.BAD_CURSOR,
        f"{error} Leave it out to start from the newest.",
        errors=[WrongValue(parameter="cursor", detail=str(error))],
    )


def _unavailable(error: UnavailableError) -> Problem:
    log.warning("%s", error, exc_info=error)
    return Problem(ProblemType.UNAVAILABLE, str(error), retry_after=error.retry_after)


def _from_aws(error: Exception) -> Problem:
    return _unavailable(UnavailableError("AWS")) if transient(error) else _internal(error)


def _internal(error: Exception) -> Problem:
    reference = uuid.uuid4().hex
    log.error("internal error %s", reference, exc_info=error)
    return Problem(
        ProblemType.INTERNAL,
        f"Something went wrong on our side. The log names it {reference}.",
        reference=reference,
    )


async def _last_resort(_: Request, error: Exception) -> Response:
    return _internal(error).response()


async def _from_routing(request: Request, error: Exception) -> Response:
    """Starlette's own: no route, a wrong method, and a client that went away."""
    if not isinstance(error, HTTPException):
        raise error
    path = request.url.path
    match error.status_code:
        case HTTPStatus.NOT_FOUND:
            problem = Problem(ProblemType.NOT_FOUND, f"There is nothing at {path}. See /docs.")
        case HTTPStatus.METHOD_NOT_ALLOWED:
            allowed = _allowed(request)
            problem = Problem(
                ProblemType.METHOD_NOT_ALLOWED,
                f"{path} takes {allowed}, not {request.method}.",
                headers={"Allow": allowed},
            )
        case _:
            problem = Problem(ProblemType.BAD_REQUEST, "The request could not be read.")
    return problem.response()


def _allowed(request: Request) -> str:
    """The methods that some route takes here: Starlette names only those of the first."""
    app: FastAPI = request.app
    return ", ".join(
        method
        for method in _METHODS
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL
            for route in app.routes
        )
    )


#: What each error is answered with.
_PROBLEMS: Mapping[type[Exception], Callable[[Any], Problem]] = {
    Problem: lambda error: error,
    RequestValidationError: lambda error: invalid(error.errors(), error.body),
    UnknownTaskTypeError: lambda error: Problem(
        ProblemType.UNKNOWN_TASK_TYPE,
        f"{error} GET /catalogue lists them all.",
        near=list(error.near),
    ),
    NotFoundError: lambda error: Problem(ProblemType.TASK_NOT_FOUND, str(error)),
    ArtifactNotFoundError: lambda error: Problem(ProblemType.FILE_NOT_FOUND, str(error)),
    BadCursorError: _bad_cursor,
    NotOverError: lambda error: Problem(
        ProblemType.TASK_NOT_OVER, str(error), task_status=error.state
    ),
    IdempotencyConflictError: lambda error: Problem(ProblemType.IDEMPOTENCY_CONFLICT, str(error)),
    ValueTooLargeError: lambda error: Problem(ProblemType.TOO_LARGE, str(error)),
    ValueMissingError: lambda _: Problem(ProblemType.EXPIRED),
    UnavailableError: _unavailable,
    ClientError: _from_aws,
    BotoCoreError: _from_aws,
    OperationalError: _from_aws,
}
