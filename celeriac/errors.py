"""The errors that the engine raises to its callers.

    CeleriacError
    ├── NotConfiguredError         this process has no usable settings for AWS: set the variables
    ├── UnavailableError           AWS didn't answer, or asked us to slow down: try again
    ├── NotFoundError              this tenant has no such task
    ├── IdempotencyConflictError   the key was used for another request
    ├── NotOverError               the task hasn't ended yet
    └── QuotaExceededError         the tenant has no room for another task

Other errors are defined where they are raised: ``RecordExistsError`` and ``LeaseLostError``
(celeriac.records), ``BadCursorError`` (celeriac.records.listing), ``ValueTooLargeError`` and
``ValueMissingError`` (celeriac.storage.values), ``ArtifactNotFoundError``
(celeriac.storage.artifacts), ``UnknownTaskTypeError`` (celeriac.contract).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from http import HTTPStatus

from botocore import exceptions as aws
from botocore.exceptions import BotoCoreError, ClientError
from kombu.exceptions import OperationalError

from celeriac.contract.errors import Picklable

# Codes of errors that another try may not meet, whatever their HTTP status.
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


_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_QUEUES = ("CELERIAC_QUEUE_URL_PREFIX",)


class CeleriacError(Exception, Picklable):
    """The root of the engine's errors."""


class NotConfiguredError(CeleriacError):
    """This process can't use AWS as it is configured. Nothing was accepted.

    Another try fails in the same way. The message says what is wrong, which variables to set, and
    where their values come from. ``variables`` are the names.
    """

    def __init__(self, fault: str, *variables: str) -> None:
        on_aws = "the role of the function or container" if variables == _KEYS else "the deployment"
        super().__init__(
            f"{fault}. Set {' and '.join(variables)}. Locally, `. .local/env` does this while "
            f"`celeriac dev` runs; on AWS, {on_aws} does."
        )
        self.variables = variables


class UnavailableError(CeleriacError, OperationalError):
    """An AWS service can't be reached, or asks for fewer requests. Nothing was accepted.

    It is an ``OperationalError`` too, which Celery's callers expect of an unreachable broker.
    """

    def __init__(self, service: str, retry_after: timedelta = timedelta(seconds=5)) -> None:
        super().__init__(f"{service} can't be reached now. Try again in a few seconds.")
        self.service = service
        self.retry_after = retry_after


class NotFoundError(CeleriacError):
    """There is no such task, or it belongs to another tenant."""

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
    """The task hasn't ended, so it has no result to fetch, and can't be retried."""

    def __init__(self, task_id: str, state: str) -> None:
        super().__init__(f"Task {task_id} has not ended: it is {state}.")
        self.task_id = task_id
        self.state = state


class QuotaExceededError(CeleriacError):
    """A quota of the tenant's has no room for this task. Nothing was accepted.

    ``quota`` is the setting, ``limit`` its value, and ``retry_after`` how long to wait.
    """

    def __init__(self, quota: str, limit: int, detail: str, retry_after: timedelta) -> None:
        super().__init__(detail)
        self.quota = quota
        self.limit = limit
        self.retry_after = retry_after


def transient(error: BaseException) -> bool:
    """Whether the same call may succeed later: no answer, a 5xx, or a request to slow down.

    A wrong configuration counts too. A worker that has it returns its messages instead of failing
    their tasks, so that they run once the worker is configured.
    """
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return (
            status >= HTTPStatus.INTERNAL_SERVER_ERROR
            or error.response["Error"]["Code"] in _TRANSIENT_CODES
        )
    return isinstance(error, BotoCoreError | NotConfiguredError | OperationalError | OSError)


# docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
_INVALID_CODES = frozenset(
    {"ItemCollectionSizeLimitExceededException", "SerializationException", "ValidationException"}
)


def invalid(error: BaseException) -> bool:
    """Whether DynamoDB refuses this very write, and would each time: it is too large, for one."""
    return isinstance(error, ClientError) and error.response["Error"]["Code"] in _INVALID_CODES


@contextmanager
def unavailable(service: str) -> Iterator[None]:
    """Turn an error of AWS's into ``UnavailableError`` or ``NotConfiguredError``.

    An answer that refuses this very call passes as it is.
    """
    try:
        yield
    except (ClientError, BotoCoreError, OperationalError, OSError) as error:
        if (explained := not_configured(error)) is not None:
            raise explained from error
        if not transient(error):
            raise
        raise UnavailableError(service) from error


def not_configured(error: BaseException) -> NotConfiguredError | None:
    """What is wrong with this process's configuration, if AWS can't be used because of that."""
    match error:
        case NotConfiguredError():
            return error
        case ClientError():
            code = error.response["Error"]["Code"]
            fault, variables = _REFUSALS.get(code, ("", ()))
            fault = f"{fault} ({code})"
        case aws.CredentialRetrievalError() if error.kwargs.get("provider") in _FETCHED:
            return None
        case BotoCoreError():
            fault, variables = _faulty_environment(error)
        case _:
            fault, variables = "", ()
    if not variables and _goes_to_the_default_queue(error):
        fault = f"SQS doesn't answer at its default address, {_DEFAULT_SQS}"
        variables = _QUEUES
    return NotConfiguredError(fault, *variables) if variables else None


# A container or an instance asks a service next to it for credentials, which may not answer.
_FETCHED = frozenset({"container-role", "iam-role"})

#: Where the settings' default looks for SQS: on this machine.
_DEFAULT_SQS = "http://127.0.0.1:5000"

# What AWS answers to a call that no deployment's settings would lead to.
_UNKNOWN_KEYS = ("AWS doesn't know the credentials of this process", _KEYS)
_NO_TABLE = (
    "CELERIAC_TABLE_NAME names no table in this region",
    ("CELERIAC_TABLE_NAME",),
)
_NO_BUCKET = ("CELERIAC_BUCKET_NAME names no bucket", ("CELERIAC_BUCKET_NAME",))
_NO_QUEUE = ("CELERIAC_QUEUE_URL_PREFIX leads to no queue", _QUEUES)
_REFUSALS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "AWS.SimpleQueueService.NonExistentQueue": _NO_QUEUE,
    "InvalidAccessKeyId": _UNKNOWN_KEYS,
    "InvalidAddress": _NO_QUEUE,
    "InvalidClientTokenId": _UNKNOWN_KEYS,
    "NoSuchBucket": _NO_BUCKET,
    "QueueDoesNotExist": _NO_QUEUE,
    "ResourceNotFoundException": _NO_TABLE,
    "UnrecognizedClientException": _UNKNOWN_KEYS,
}


def _faulty_environment(error: BotoCoreError) -> tuple[str, tuple[str, ...]]:
    """What botocore misses before it makes a call."""
    said = " ".join(str(error).split()).rstrip(".")
    match error:
        case aws.NoRegionError():
            return "This process has no AWS region", ("AWS_DEFAULT_REGION",)
        case aws.NoCredentialsError():
            return "This process has no AWS credentials", _KEYS
        case aws.ProfileNotFound() | aws.ConfigNotFound() | aws.ConfigParseError():
            return said, ("AWS_PROFILE",)
        case (
            aws.PartialCredentialsError()
            | aws.CredentialRetrievalError()
            | aws.SSOError()
            | aws.TokenRetrievalError()
        ):
            return f"AWS credentials can't be loaded: {said}", _KEYS
        case _:
            return "", ()


def _goes_to_the_default_queue(error: BaseException) -> bool:
    """Whether a connection failed to what no variable has asked for."""
    if any(name.startswith(("AWS_ENDPOINT_URL", *_QUEUES)) for name in os.environ):
        return False
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, aws.EndpointConnectionError | aws.ConnectTimeoutError):
            return str(cause.kwargs.get("endpoint_url", "")).startswith(_DEFAULT_SQS)
        cause = cause.__cause__ or cause.__context__
    return False
