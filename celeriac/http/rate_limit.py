"""The limit on one caller's requests a minute: the setting ``requests_per_key``.

The stage of the API in API Gateway has a rate for all callers together, and HTTP APIs have none for
one of them: docs.aws.amazon.com/apigateway/latest/developerguide/http-api-vs-rest.html
"""

from __future__ import annotations

import logging

from celeriac.errors import UnavailableError, unavailable
from celeriac.http.problems import Problem, ProblemType
from celeriac.storage.services import services

log = logging.getLogger(__name__)


def admit(caller_id: str, credential: str, limit: int) -> None:
    """Count a request. Raises ``Problem`` (429) for one over the limit.

    While DynamoDB can't count, every request is let through. A request that needs DynamoDB then
    fails by itself, and the limit isn't there to make an outage of a counter one of the API.
    """
    try:
        with unavailable("DynamoDB"):
            wait = services().requests.admit(caller_id, limit)
    except UnavailableError as error:
        log.warning("requests aren't counted: %s", error, exc_info=error)
        return
    if wait is not None:
        raise Problem(
            ProblemType.TOO_MANY_REQUESTS,
            f"At most {limit:,} requests a minute are allowed for {credential}. "
            "Wait as many seconds as Retry-After says.",
            retry_after=wait,
        )
