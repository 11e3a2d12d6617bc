"""The caller of a request, by ``Authorization: Bearer`` (RFC 6750): an API key, or a token.

A token is a JWT that API Gateway has verified. Its authorizer refuses every other token, and passes
the claims to the function in the event. See docs.aws.amazon.com/apigateway/latest/developerguide/,
page http-api-jwt-authorizer.html. No header of a request reaches the event's claims, so nobody can
forge them. Without an authorizer, and under uvicorn, there are no claims.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.concurrency import run_in_threadpool
from starlette.types import Scope

from celeriac.contract import TaskType
from celeriac.errors import unavailable
from celeriac.http.dependencies import dependencies_of
from celeriac.http.problems import Problem, ProblemType
from celeriac.http.rate_limit import admit
from celeriac.http.tenants import tenant_of
from celeriac.settings import Settings
from celeriac.storage.keys import ApiKey
from celeriac.storage.keys import Scope as KeyScope
from celeriac.storage.services import services

# API Gateway looks for scopes in these claims. ``scope`` is from RFC 8693, section 4.2. Okta and
# Entra send ``scp``.
_SCOPE_CLAIMS = ("scope", "scp")
# For whom the token was issued: RFC 7519, section 4.1.2.
_SUBJECT_CLAIM = "sub"

_bearer = HTTPBearer(
    scheme_name="ApiKey",
    auto_error=False,
    description="An API key, as `python -m celeriac keys create` prints it. Where the deployment "
    "takes tokens, an access token in its place.",
)


@dataclass(frozen=True, kw_only=True)
class Caller:
    """A tenant, and the scopes of the key or token that it showed.

    ``credential`` names the key or token in words. ``scope_prefix`` begins the names of its
    scopes. Both are for telling the caller what is wrong. Requests with the same ``id`` are counted
    together: those of a key, or of a tenant's subject.
    """

    id: str
    credential: str
    tenant: str
    scopes: frozenset[KeyScope]
    scope_prefix: str = ""

    def allows(self, scope: KeyScope) -> bool:
        """Whether the caller has this scope. ``admin`` includes all."""
        return scope in self.scopes or KeyScope.ADMIN in self.scopes

    def needs(self, scope: KeyScope) -> None:
        """Raises ``Problem`` (403) unless the caller has this scope."""
        if not self.allows(scope):
            name = f"{self.scope_prefix}{scope}"
            raise Problem(
                ProblemType.MISSING_SCOPE,
                f"This needs the scope {name!r}, and {self.credential} lacks it.",
                headers={"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{name}"'},
                scope=name,
            )

    def may_submit(self, task_type: TaskType[Any, Any]) -> None:
        """Raises ``Problem`` (403) for a type that is only for those who run the deployment."""
        if task_type.operators_only:
            self.needs(KeyScope.ADMIN)


async def identify(request: Request) -> Caller:
    """The caller of a request, which is counted if there is a limit.

    Raises ``Problem`` (401, 403, 429) without a valid key or token or over the limit, and
    ``UnavailableError``.
    """
    settings = dependencies_of(request.scope).settings
    caller = _by_token(request.scope, settings)
    if caller is None:
        caller = await _by_key(request)
    if settings.requests_per_key is not None or settings.requests_per_tenant is not None:
        await run_in_threadpool(admit, caller, settings)
    return caller


async def _by_key(request: Request) -> Caller:
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
    return Caller(
        id=key.id, credential=f"the key {key.name!r}", tenant=key.tenant, scopes=key.scopes
    )


def _find(secret: str) -> ApiKey | None:
    with unavailable("DynamoDB"):
        return services().keys.find(secret)


def _needs(scope: KeyScope) -> Callable[..., Awaitable[Caller]]:
    async def caller(
        request: Request,
        _: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    ) -> Caller:
        # KeyedRoute identified the caller before it read the body.
        found: Caller = request.state.caller
        found.needs(scope)
        return found

    return caller


Submitter = Annotated[Caller, Depends(_needs(KeyScope.SUBMIT))]
Reader = Annotated[Caller, Depends(_needs(KeyScope.READ))]
Canceller = Annotated[Caller, Depends(_needs(KeyScope.CANCEL))]
Administrator = Annotated[Caller, Depends(_needs(KeyScope.ADMIN))]


def _by_token(asgi_scope: Scope, settings: Settings) -> Caller | None:
    """The caller whose token API Gateway has verified; None without a token.

    Raises ``Problem`` (403) for a token without a tenant.
    """
    claim = settings.token_tenant_claim
    if claim is None:
        return None
    match asgi_scope.get("aws.event"):
        case {"requestContext": {"authorizer": {"jwt": {"claims": {**claims}}}}}:
            tenant = _tenant(claims, claim)
            return Caller(
                id=_digest(tenant, str(claims.get(_SUBJECT_CLAIM, ""))),
                credential="this token",
                tenant=tenant,
                scopes=_scopes(claims, settings.token_scope_prefix),
                scope_prefix=settings.token_scope_prefix,
            )
    return None


def _digest(tenant: str, subject: str) -> str:
    """Who a token is for. A provider may use a subject again in another tenant."""
    # A tenant's name holds no "#".
    return hashlib.sha256(f"{tenant}#{subject}".encode(errors="surrogatepass")).hexdigest()


def _tenant(claims: Mapping[object, object], claim: str) -> str:
    tenant = claims.get(claim)
    if tenant is None:
        raise Problem(
            ProblemType.TOKEN_WITHOUT_TENANT,
            f"This token has no claim {claim!r}, which names the tenant whose tasks these are. "
            "Ask who issues your tokens to add it.",
        )
    if not isinstance(tenant, str) or not tenant.strip():
        raise Problem(
            ProblemType.TOKEN_WITHOUT_TENANT,
            f"This token's claim {claim!r}, which names the tenant, is empty or no text.",
        )
    return tenant_of(tenant)


def _scopes(claims: Mapping[object, object], prefix: str) -> frozenset[KeyScope]:
    """Our scopes in a token. It may have others, such as ``openid``.

    API Gateway turns every claim into a text, a list as well: ``[submit read]``.
    """
    named = {
        word
        for claim in _SCOPE_CLAIMS
        for word in str(claims.get(claim, "")).removeprefix("[").removesuffix("]").split()
    }
    return frozenset(scope for scope in KeyScope if f"{prefix}{scope}" in named)
