"""Every error of the API: ``application/problem+json`` (RFC 9457).

A problem's ``type`` is ``/problems/<slug>``, below the path that the API is served under. The slug
never changes, and a GET of the ``type`` explains it.
``detail`` says what happened this time and what to do. ``errors`` names each wrong value by one of

    pointer     a JSON pointer into the body, as a URI fragment (RFC 6901, section 6): ``#/email``
    parameter   a query parameter
    header      a header
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from enum import Enum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from celeriac.http import links

MEDIA_TYPE = "application/problem+json"

#: An id or a name from a URL may be as long as the URL.
_LONGEST_DETAIL = 1000


class ProblemType(Enum):
    """A kind of problem: its status, its title, and what to do about it."""

    MALFORMED_JSON = (400, "Malformed JSON", "Send one JSON document in UTF-8.")
    BAD_CURSOR = (400, "Bad cursor", "Use a next_cursor as a list gave it, or leave it out.")
    BAD_REQUEST = (400, "Bad request", "Send a well-formed HTTP request.")
    UNAUTHORIZED = (401, "API key needed", "Send Authorization: Bearer <key> with a valid key.")
    MISSING_SCOPE = (403, "Scope missing", "Use a key or token with the scope the detail names.")
    TOKEN_WITHOUT_TENANT = (
        403,
        "Token without a tenant",
        "Ask who issues your tokens for the claim that the detail names.",
    )
    NOT_FOUND = (404, "No such path", "Check the path. GET /catalogue lists the task types.")
    UNKNOWN_TASK_TYPE = (404, "Unknown task type", "GET /catalogue lists the task types.")
    TASK_NOT_FOUND = (404, "No such task", "Check the id. Tasks expire after some days.")
    FILE_NOT_FOUND = (404, "No such file", "Check the key. Files expire after some days.")
    SCHEDULE_NOT_FOUND = (404, "No such schedule", "Check the id. GET /schedules lists them.")
    METHOD_NOT_ALLOWED = (405, "Method not allowed", "Use a method that Allow names.")
    REQUEST_TIMEOUT = (408, "Request too slow", "Send the body without pauses.")
    TASK_NOT_OVER = (409, "The task is not over", "Wait for it: GET /tasks/{task_id}?wait=20.")
    TASK_OVER = (409, "The task is over", "An ended task can't be cancelled.")
    TASK_FAILED = (409, "The task failed", "Read error; POST /tasks/{task_id}/retry runs it again.")
    TASK_REVOKED = (409, "The task was cancelled", "POST /tasks/{task_id}/retry runs it again.")
    SCHEDULE_DECLARED = (409, "The schedule is declared in code", "Change it there, or pause it.")
    SCHEDULE_REFUSED = (409, "The schedule's task is refused", "PATCH its payload.")
    EXPIRED = (410, "Expired", "What was stored is gone. Submit the task again.")
    TOO_LARGE = (413, "Body too large", "Upload large data with POST /files and pass its key.")
    UNSUPPORTED_MEDIA_TYPE = (
        415,
        "Unsupported media type",
        "Send JSON with Content-Type: application/json.",
    )
    INVALID = (422, "Invalid values", "Correct each of the errors.")
    IDEMPOTENCY_CONFLICT = (
        422,
        "Idempotency-Key used before",
        "Use a new key for a new request.",
    )
    TOO_MANY_REQUESTS = (429, "Too many requests", "Wait as many seconds as Retry-After says.")
    QUOTA_EXCEEDED = (
        429,
        "Quota exceeded",
        "The detail names the tenant's quota. Wait as many seconds as Retry-After says.",
    )
    INTERNAL = (500, "Internal error", "Our fault. Tell us the reference.")
    UNAVAILABLE = (503, "Unavailable", "Try again after the seconds in Retry-After.")

    def __init__(self, status: int, title: str, remedy: str) -> None:
        self.status = status
        self.title = title
        self.remedy = remedy

    @property
    def slug(self) -> str:
        return self.name.lower().replace("_", "-")

    @property
    def uri(self) -> str:
        """The ``type``: a reference that resolves wherever the API is served."""
        return links.at(f"/problems/{self.slug}")


#: What every operation that takes a key may answer.
KEYED = (
    ProblemType.UNAUTHORIZED,
    ProblemType.MISSING_SCOPE,
    ProblemType.TOKEN_WITHOUT_TENANT,
    ProblemType.TOO_MANY_REQUESTS,
    ProblemType.UNAVAILABLE,
)


class WrongValue(BaseModel):
    """One wrong value: where, by exactly one of the three, and what is wrong with it."""

    detail: str
    pointer: str | None = Field(
        None, description="Where in the body: a JSON pointer.", examples=["#/email"]
    )
    parameter: str | None = Field(None, description="Which query parameter.")
    header: str | None = Field(None, description="Which header.")
    near: list[str] | None = Field(
        None, description="Of an unknown field or time zone: those that it may have meant."
    )


class ProblemDocument(BaseModel):
    """What every error looks like (RFC 9457). Some types add members of their own."""

    model_config = ConfigDict(extra="allow", title="Problem")

    type: str = Field(description="Stable, and made for programs to compare.")
    title: str
    status: int
    detail: str = Field(description="What happened this time, and what to do.")
    errors: list[WrongValue] | None = Field(None, description="Each wrong value of the request.")


class Problem(HTTPException):
    """A problem to answer with. ``members`` are RFC 9457's extension members."""

    def __init__(
        self,
        type: ProblemType,
        detail: str | None = None,
        *,
        errors: Sequence[WrongValue] = (),
        headers: Mapping[str, str] | None = None,
        retry_after: timedelta | None = None,
        **members: Any,
    ) -> None:
        detail = detail or type.remedy
        if len(detail) > _LONGEST_DETAIL:
            detail = f"{detail[:_LONGEST_DETAIL]}…"
        if retry_after is not None:
            seconds = -(-retry_after // timedelta(seconds=1))
            headers = {**(headers or {}), "Retry-After": str(seconds)}
        super().__init__(type.status, detail, headers)
        self.type = type
        self.errors = errors
        self.members = members

    def document(self) -> dict[str, Any]:
        """The problem as JSON."""
        document = ProblemDocument(
            type=self.type.uri,
            title=self.type.title,
            status=self.type.status,
            detail=self.detail,
            errors=list(self.errors) or None,
            **self.members,
        )
        return document.model_dump(mode="json", exclude_none=True)

    def response(self) -> Response:
        # Plain ASCII: what a URL or a header brought can't break the encoding of the answer.
        content = json.dumps(self.document())
        headers = {"X-Content-Type-Options": "nosniff", **(self.headers or {})}
        return Response(content, self.type.status, headers, media_type=MEDIA_TYPE)


def _inlined_schema() -> dict[str, Any]:
    schema = ProblemDocument.model_json_schema()
    wrong_value = schema.pop("$defs")["WrongValue"]
    schema["properties"]["errors"]["anyOf"][0]["items"] = wrong_value
    return schema


#: The schema of a problem without references, which an app's document might not resolve.
SCHEMA = _inlined_schema()


def documented(*types: ProblemType) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's ``responses`` for the problems that an operation answers with."""
    responses: dict[int | str, dict[str, Any]] = {}
    for status in sorted({type.status for type in types}):
        kinds = [type for type in ProblemType if type in types and type.status == status]
        responses[status] = {
            "description": " ".join(f"{kind.title} (`{kind.uri}`)." for kind in kinds),
            "content": {
                MEDIA_TYPE: {
                    "schema": SCHEMA,
                    "example": {
                        "type": kinds[0].uri,
                        "title": kinds[0].title,
                        "status": status,
                        "detail": kinds[0].remedy,
                    },
                }
            },
        }
    return responses
