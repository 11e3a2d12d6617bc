"""Who calls: a tenant, and what they may do for it."""

from __future__ import annotations

from dataclasses import dataclass

from celeriac.keys import Scope


@dataclass(frozen=True, kw_only=True)
class Caller:
    """``credential`` is what they showed, in words, and ``scope_prefix`` how its scopes begin.

    Both are for telling a caller what is missing.
    """

    credential: str
    tenant: str
    scopes: frozenset[Scope]
    scope_prefix: str = ""

    def allows(self, scope: Scope) -> bool:
        return scope in self.scopes or Scope.ADMIN in self.scopes
