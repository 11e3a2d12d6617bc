"""Who calls, by a token (JWT) that API Gateway has verified.

Behind an authorizer API Gateway refuses every other token itself, and hands the claims to the
function in the event: docs.aws.amazon.com/apigateway/latest/developerguide/, page
http-api-jwt-authorizer.html. No header of a request gets there, so nobody can forge them; without
an authorizer, and under uvicorn, there are none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from api.caller import Caller
from api.problems import Problem, ProblemType
from celeriac.keys import Scope, TenantNameError
from celeriac.settings import TENANT, Settings

# As API Gateway looks for them: ``scope`` is RFC 8693's, section 4.2; ``scp`` Okta's and Entra's.
_SCOPE_CLAIMS = ("scope", "scp")


def bearer(asgi_scope: Mapping[str, Any], settings: Settings) -> Caller | None:
    """The caller whose token API Gateway has let through; None if there was none.

    Raises ``Problem`` (403) for a token that names no tenant, or one that can't be.
    """
    claim = settings.token_tenant_claim
    if claim is None:
        return None
    match asgi_scope.get("aws.event"):
        case {"requestContext": {"authorizer": {"jwt": {"claims": {**claims}}}}}:
            return Caller(
                credential="this token",
                tenant=_tenant(claims, claim),
                scopes=_scopes(claims, settings.token_scope_prefix),
                scope_prefix=settings.token_scope_prefix,
            )
    return None


def _tenant(claims: Mapping[object, object], claim: str) -> str:
    tenant = claims.get(claim)
    if tenant is None:
        raise Problem(
            ProblemType.TOKEN_WITHOUT_TENANT,
            f"This token has no claim {claim!r}, which names the tenant whose tasks these are. "
            "Ask who issues your tokens to add it.",
        )
    if not isinstance(tenant, str) or not re.fullmatch(TENANT, tenant):
        raise Problem(
            ProblemType.TOKEN_WITHOUT_TENANT,
            f"This token's claim {claim!r} names no tenant. {TenantNameError(str(tenant))}",
        )
    return tenant


def _scopes(claims: Mapping[object, object], prefix: str) -> frozenset[Scope]:
    """Those of a token that are ours; it may have others, such as ``openid``.

    API Gateway makes a text of every claim, of a list too: ``[submit read]``.
    """
    named = {
        word
        for claim in _SCOPE_CLAIMS
        for word in str(claims.get(claim, "")).removeprefix("[").removesuffix("]").split()
    }
    return frozenset(scope for scope in Scope if f"{prefix}{scope}" in named)
