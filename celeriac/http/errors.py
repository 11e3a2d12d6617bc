"""Which problem each error becomes."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from botocore.exceptions import BotoCoreError, ClientError
from fastapi.exceptions import RequestValidationError
from kombu.exceptions import OperationalError
from pydantic import ValidationError

from celeriac.contract import UnknownTaskTypeError
from celeriac.contract.payloads import UNKNOWN_FIELD
from celeriac.errors import (
    IdempotencyConflictError,
    NotConfiguredError,
    NotFoundError,
    NotOverError,
    QuotaExceededError,
    UnavailableError,
    not_configured,
    transient,
)
from celeriac.http import links
from celeriac.http.problems import Problem, ProblemType, WrongValue
from celeriac.operations.due_time import DueTimeError
from celeriac.operations.schedule_tasks import RefusedError
from celeriac.operations.scheduled import DeclaredScheduleError, ScheduleNotFoundError
from celeriac.records.listing import BadCursorError
from celeriac.storage.artifacts import ArtifactNotFoundError
from celeriac.storage.values import ValueMissingError, ValueTooLargeError

log = logging.getLogger(__name__)

# A body of megabytes can be wrong in a million places. A Lambda answers with 6 MB at most.
MOST_ERRORS = 50


def known_problem(error: Exception) -> Problem | None:
    """The problem for an error of the engine, of AWS or of validation; None for any other."""
    for kind, problem in _PROBLEMS.items():
        if isinstance(error, kind):
            return problem(error)
    return None


def internal(error: Exception) -> Problem:
    """The problem for an error that nobody expected. Logs it under the problem's reference."""
    reference = uuid.uuid4().hex
    log.error("internal error %s", reference, exc_info=error)
    return Problem(
        ProblemType.INTERNAL,
        f"Something went wrong on our side. The log names it {reference}.",
        reference=reference,
    )


def invalid(errors: Sequence[Mapping[str, Any]], body: Any) -> Problem:
    """The problem for pydantic's errors about a request whose JSON body was ``body``."""
    wrong = [_wrong_value(error, body) for error in errors[:MOST_ERRORS]]
    first = wrong[0]
    detail = f"{first.pointer or first.parameter or first.header}: {first.detail}"
    # A near name is asked for: that sentence has its mark.
    detail += "" if detail.endswith("?") else "."
    if len(errors) > 1:
        detail += f" In all {len(errors)} values are wrong: see errors."
    return Problem(ProblemType.INVALID, detail, errors=wrong)


def invalid_payload(error: ValidationError, payload: Any) -> Problem:
    """The problem for an invalid payload, as if it had been the request's body."""
    return invalid([{**each, "loc": ("body", *each["loc"])} for each in error.errors()], payload)


def _wrong_value(error: Mapping[str, Any], body: Any) -> WrongValue:
    where, *path = error["loc"]
    detail = str(error["msg"]).removeprefix("Value error, ").rstrip(".")[:300]
    match where:
        case "query":
            return WrongValue(parameter=_name(path), detail=detail)
        case "header":
            return WrongValue(header=_name(path).replace("_", "-"), detail=detail)
        case _:
            pointer = _pointer(path, body, error["type"])
            return WrongValue(pointer=pointer, detail=detail, near=_near(error))


def _name(path: list[Any]) -> str:
    return str(path[0])[:100] if path else ""


def _near(error: Mapping[str, Any]) -> list[str] | None:
    """The fields that an unknown one may have meant."""
    return list(error["ctx"]["near"]) if error["type"] == UNKNOWN_FIELD else None


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
    if (explained := not_configured(error)) is not None:
        return internal(explained)
    return _unavailable(UnavailableError("AWS")) if transient(error) else internal(error)


#: The problem for each kind of error. The first kind that fits decides.
_PROBLEMS: Mapping[type[Exception], Callable[[Any], Problem]] = {
    Problem: lambda error: error,
    RequestValidationError: lambda error: invalid(error.errors(), error.body),
    UnknownTaskTypeError: lambda error: Problem(
        ProblemType.UNKNOWN_TASK_TYPE,
        f"{error} GET {links.at('/catalogue')} lists them all.",
        near=list(error.near),
    ),
    NotFoundError: lambda error: Problem(ProblemType.TASK_NOT_FOUND, str(error)),
    ScheduleNotFoundError: lambda error: Problem(ProblemType.SCHEDULE_NOT_FOUND, str(error)),
    DeclaredScheduleError: lambda error: Problem(ProblemType.SCHEDULE_DECLARED, str(error)),
    RefusedError: lambda error: Problem(ProblemType.SCHEDULE_REFUSED, str(error)),
    ArtifactNotFoundError: lambda error: Problem(ProblemType.FILE_NOT_FOUND, str(error)),
    BadCursorError: _bad_cursor,
    NotOverError: lambda error: Problem(
        ProblemType.TASK_NOT_OVER, str(error), task_status=error.state
    ),
    IdempotencyConflictError: lambda error: Problem(ProblemType.IDEMPOTENCY_CONFLICT, str(error)),
    QuotaExceededError: lambda error: Problem(
        ProblemType.QUOTA_EXCEEDED,
        str(error),
        retry_after=error.retry_after,
        quota=error.quota,
        limit=error.limit,
    ),
    DueTimeError: lambda error: invalid(
        [{"loc": ("query", error.field), "msg": error.detail, "type": "due_time"}], None
    ),
    ValueTooLargeError: lambda error: Problem(ProblemType.TOO_LARGE, str(error)),
    ValueMissingError: lambda _: Problem(ProblemType.EXPIRED),
    # Not 503: another try fails too. The log names the variables; they don't concern a caller.
    NotConfiguredError: internal,
    UnavailableError: _unavailable,
    ClientError: _from_aws,
    BotoCoreError: _from_aws,
    OperationalError: _from_aws,
}
