"""Who calls, by ``Authorization: Bearer`` (RFC 6750): an API key, or a token of ``api.tokens``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.concurrency import run_in_threadpool

from api import tokens
from api.caller import Caller
from api.engine import Engine
from api.problems import Problem, ProblemType
from celeriac.errors import unavailable
from celeriac.keys import ApiKey, Scope
from celeriac.services import services

_bearer = HTTPBearer(
    scheme_name="ApiKey",
    auto_error=False,
    description="An API key, as `python -m celeriac keys create` prints it. Where the deployment "
    "takes tokens, an access token in its place.",
)


async def identify(request: Request) -> Caller:
    """Whose request it is.

    Raises ``Problem`` (401, 403) without a valid key or token, and ``UnavailableError``.
    """
    engine: Engine = request.app.state.engine
    caller = tokens.bearer(request.scope, engine.settings)
    if caller is not None:
        await run_in_threadpool(_note, caller.tenant)
        return caller
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
    return Caller(credential=f"the key {key.name!r}", tenant=key.tenant, scopes=key.scopes)


def _note(tenant: str) -> None:
    with unavailable("DynamoDB"):
        services().tenants.note(tenant)


def _find(secret: str) -> ApiKey | None:
    with unavailable("DynamoDB"):
        return services().keys.find(secret)


def _needs(scope: Scope) -> Callable[..., Awaitable[Caller]]:
    async def caller(
        request: Request,
        _: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    ) -> Caller:
        # Identified by KeyedRoute, before the body was read.
        found: Caller = request.state.caller
        if not found.allows(scope):
            name = f"{found.scope_prefix}{scope}"
            raise Problem(
                ProblemType.MISSING_SCOPE,
                f"This needs the scope {name!r}, and {found.credential} lacks it.",
                headers={"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{name}"'},
                scope=name,
            )
        return found

    return caller


Submitter = Annotated[Caller, Depends(_needs(Scope.SUBMIT))]
Reader = Annotated[Caller, Depends(_needs(Scope.READ))]
Canceller = Annotated[Caller, Depends(_needs(Scope.CANCEL))]
Administrator = Annotated[Caller, Depends(_needs(Scope.ADMIN))]
