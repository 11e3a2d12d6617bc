"""Who calls, by API key: ``Authorization: Bearer <key>`` (RFC 6750)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.concurrency import run_in_threadpool

from api.problems import Problem, ProblemType
from celeriac.errors import unavailable
from celeriac.keys import ApiKey, Scope
from celeriac.services import services

_bearer = HTTPBearer(
    scheme_name="ApiKey",
    auto_error=False,
    description="An API key, as `python -m celeriac keys create` prints it.",
)


async def identify(request: Request) -> ApiKey:
    """The key that a request carries.

    Raises ``Problem`` (401) without a valid one, and ``UnavailableError``.
    """
    credentials = await _bearer(request)
    if credentials is None:
        raise Problem(
            ProblemType.UNAUTHORIZED,
            "This needs an API key: send the header Authorization: Bearer <key>.",
            headers={"WWW-Authenticate": "Bearer"},
        )
    key = await run_in_threadpool(_find, credentials.credentials)
    if key is None:
        raise Problem(
            ProblemType.UNAUTHORIZED,
            "This API key is not valid. It may have been revoked: ask for a new one.",
            headers={"WWW-Authenticate": 'Bearer error="invalid_token"'},
        )
    return key


def _find(secret: str) -> ApiKey | None:
    with unavailable("DynamoDB"):
        return services().keys.find(secret)


def _needs(scope: Scope) -> Callable[..., Awaitable[ApiKey]]:
    async def caller(
        request: Request,
        _: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    ) -> ApiKey:
        # Identified by KeyedRoute, before the body was read.
        key: ApiKey = request.state.caller
        if not key.allows(scope):
            raise Problem(
                ProblemType.MISSING_SCOPE,
                f"This needs the scope {scope.value!r}, and the key {key.name!r} lacks it.",
                headers={
                    "WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{scope.value}"'
                },
                scope=scope.value,
            )
        return key

    return caller


Submitter = Annotated[ApiKey, Depends(_needs(Scope.SUBMIT))]
Reader = Annotated[ApiKey, Depends(_needs(Scope.READ))]
Canceller = Annotated[ApiKey, Depends(_needs(Scope.CANCEL))]
Administrator = Annotated[ApiKey, Depends(_needs(Scope.ADMIN))]
