"""What the engine raises to its callers.

    CeleriacError
    ├── UnavailableError           AWS didn't answer, or asked us to slow down: try again
    ├── NotFoundError              this tenant has no such task
    ├── IdempotencyConflictError   the key was used for another request
    └── NotOverError               the task hasn't ended yet

Beside them: ``RecordExistsError`` and ``LeaseLostError`` (celeriac.records), ``ValueTooLargeError``
and ``ValueMissingError`` (celeriac.values), ``ArtifactNotFoundError`` (celeriac.artifacts),
``BadCursorError`` (celeriac.records.listing), ``UnknownTaskTypeError`` (tasks.contract).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http import HTTPStatus

from botocore.exceptions import BotoCoreError, ClientError
from kombu.exceptions import OperationalError

# Errors that say "later", whatever their status.
# docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
# docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html
_TRANSIENT_CODES = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        "KmsThrottled",
        "LimitExceededException",
        "OverLimit",
        "ProvisionedThroughputExceededException",
        "RequestExpired",
        "RequestLimitExceeded",
        "RequestThrottled",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TransactionInProgressException",
    }
)


class CeleriacError(Exception):
    """The root of the engine's errors."""


class UnavailableError(CeleriacError, OperationalError):
    """An AWS service can't be reached, or asks for fewer requests. Nothing was accepted.

    It is what Celery's callers expect of a broker that is out of reach.
    """

    def __init__(self, service: str, retry_after: timedelta = timedelta(seconds=5)) -> None:
        super().__init__(f"{service} can't be reached now. Try again in a few seconds.")
        self.service = service
        self.retry_after = retry_after


class NotFoundError(CeleriacError):
    """There is no such task, or it is another tenant's."""

    def __init__(self, task_id: str) -> None:
        super().__init__(f"There is no task {task_id!r}. It may have expired.")
        self.task_id = task_id


class IdempotencyConflictError(CeleriacError):
    """The idempotency key was used before, with another payload."""

    def __init__(self, key: str) -> None:
        super().__init__(
            f"The Idempotency-Key {key!r} was used for a request with another body. "
            "Use a new key for a new request."
        )
        self.key = key


class NotOverError(CeleriacError):
    """The task is still under way, so there is nothing to fetch or to repeat yet."""

    def __init__(self, task_id: str, state: str) -> None:
        super().__init__(f"Task {task_id} has not ended: it is {state}.")
        self.task_id = task_id
        self.state = state


def transient(error: BaseException) -> bool:
    """Whether trying again later may help: no answer, a 5xx, or a request to slow down."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return (
            status >= HTTPStatus.INTERNAL_SERVER_ERROR
            or error.response["Error"]["Code"] in _TRANSIENT_CODES
        )
    return isinstance(error, BotoCoreError | OperationalError | OSError)


@contextmanager
def unavailable(service: str) -> Iterator[None]:
    """Turn what AWS says when it is down or busy into ``UnavailableError``."""
    try:
        yield
    except (ClientError, BotoCoreError, OperationalError, OSError) as error:
        if not transient(error):
            raise
        raise UnavailableError(service) from error
