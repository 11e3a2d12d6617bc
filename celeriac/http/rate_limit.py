"""Limits on requests a minute: the settings ``requests_per_key`` and ``requests_per_tenant``.

The stage of the API in API Gateway has a rate for all callers together, and HTTP APIs have none for
one of them: docs.aws.amazon.com/apigateway/latest/developerguide/http-api-vs-rest.html
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from celeriac.errors import UnavailableError, unavailable
from celeriac.http.problems import Problem, ProblemType
from celeriac.storage.services import services

if TYPE_CHECKING:
    from celeriac.http.auth import Caller
    from celeriac.settings import Settings

log = logging.getLogger(__name__)


def admit(caller: Caller, settings: Settings) -> None:
    """Count a request for its key, and for its tenant. Raises ``Problem`` (429) over a limit.

    One that is refused for its key isn't counted for the tenant, so that a key in a loop doesn't
    use up what the tenant's other keys have.

    While DynamoDB can't count, every request is let through. A request that needs DynamoDB then
    fails by itself, and the limit isn't there to make an outage of a counter one of the API.
    """
    per_key, per_tenant = settings.requests_per_key, settings.requests_per_tenant
    if per_key is not None:
        _admit(caller.id, per_key, "requests_per_key", caller.credential)
    if per_tenant is not None:
        whose = f"the tenant {caller.tenant!r}, all its keys together"
        # No key's id has a "#".
        _admit(f"tenant#{caller.tenant}", per_tenant, "requests_per_tenant", whose)


def _admit(counted: str, limit: int, quota: str, whose: str) -> None:
    try:
        with unavailable("DynamoDB"):
            wait = services().requests.admit(counted, limit)
    except UnavailableError as error:
        log.warning("requests aren't counted: %s", error, exc_info=error)
        return
    if wait is not None:
        raise Problem(
            ProblemType.TOO_MANY_REQUESTS,
            f"At most {limit:,} requests a minute are allowed for {whose}. "
            "Wait as many seconds as Retry-After says.",
            retry_after=wait,
            quota=quota,
            limit=limit,
        )
