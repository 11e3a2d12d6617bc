"""The tenant that a token's claim names.

Cognito and Entra give lower-case ids, which name a tenant as they are. Others have capitals, bars
and at-signs, as Auth0's ``auth0|5f7C8eC7…``. What can't be part of names in AWS is replaced, and a
digest of the whole claim keeps two such callers apart.
"""

from __future__ import annotations

import hashlib
import re

from celeriac.settings import TENANT

_DIGEST = 20
_LONGEST = 63
_NOT_ALLOWED = re.compile(r"[^a-z0-9]+")
#: A claim of this shape isn't taken as it is: it could have been made to be another's.
_MADE = re.compile(rf"t-(?:[a-z0-9-]+-)?[0-9a-f]{{{_DIGEST}}}")


def tenant_of(claim: str) -> str:
    """The tenant of a claim: the claim itself if it can be one, and always the same one.

    A name that is made begins with ``t-`` and ends with a digest, so no claim that is a tenant's
    name of its own stands for another's by chance.
    """
    if re.fullmatch(TENANT, claim) and not _MADE.fullmatch(claim):
        return claim
    digest = hashlib.sha256(claim.encode(errors="surrogatepass")).hexdigest()[:_DIGEST]
    readable = _NOT_ALLOWED.sub("-", claim.lower()).strip("-")[: _LONGEST - _DIGEST - 3]
    return "-".join(part for part in ("t", readable.strip("-"), digest) if part)
