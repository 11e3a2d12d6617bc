"""Mail through Amazon SES, API version 2."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    ProxyConnectionError,
    SSLError,
)

from tasks.mail.backend import (
    Mail,
    MailError,
    MailRejectedError,
    MailTemporaryError,
    MailThrottledError,
    OutcomeUnknownError,
    Receipt,
)

if TYPE_CHECKING:
    from mypy_boto3_sesv2 import SESV2Client
    from mypy_boto3_sesv2.type_defs import SendEmailRequestTypeDef

logger = logging.getLogger(__name__)

# docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html#API_SendEmail_Errors, and
# botocore/retries/standard.py: ThrottledRetryableChecker for the general names.
THROTTLED = {
    "LimitExceededException",
    "RequestLimitExceeded",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
}
REJECTED = {
    "AccountSuspendedException": "account-suspended",
    "BadRequestException": "mail-rejected",
    "InvalidParameterValue": "mail-rejected",
    "MailFromDomainNotVerifiedException": "sender-not-verified",
    "MessageRejected": "mail-rejected",
    "SendingPausedException": "sending-paused",
}
# The request can't have reached SES.
NEVER_CONNECTED = (ConnectTimeoutError, EndpointConnectionError, ProxyConnectionError)

HTTP_NOT_FOUND = 404
HTTP_TOO_MANY_REQUESTS = 429
HTTP_SERVER_ERROR = 500

TASK_TAG = "celeriac-task-id"
# What a tag's value may be: docs.aws.amazon.com/ses/latest/APIReference-V2/API_MessageTag.html
A_TAG = re.compile(r"[A-Za-z0-9_-]{1,256}")


class SesBackend:
    """Sends raw MIME, tagged ``celeriac-task-id`` in SES's own events."""

    def __init__(
        self, client: SESV2Client | None = None, *, configuration_set: str | None = None
    ) -> None:
        self._client = client or boto3.client("sesv2", config=self.config())
        self._configuration_set = configuration_set

    @staticmethod
    def config() -> Config:
        """No retries: SendEmail has no idempotency token, so botocore's retry after a lost answer
        would send the mail twice without a trace."""
        return Config(
            connect_timeout=5,
            read_timeout=60,
            retries={"total_max_attempts": 1},
            tcp_keepalive=True,
        )

    def suppressed(self, addresses: Iterable[str]) -> frozenset[str] | None:
        """The addresses on the account's suppression list; None if SES is too busy to say.

        SES accepts mail to those addresses and withholds it
        (docs.aws.amazon.com/ses/latest/dg/sending-email-suppression-list.html). The question
        lets the task name them. Its rate limit is low, so a busy answer must not delay the mail.
        """
        try:
            with _faults():
                return frozenset(each for each in addresses if self._is_suppressed(each))
        except MailTemporaryError as error:
            logger.warning(
                "The suppression list could not be read, so SES alone applies it: %s", error
            )
            return None

    def send(self, mail: Mail) -> Receipt:
        request: SendEmailRequestTypeDef = {
            "FromEmailAddress": mail.sender,
            "Destination": {"ToAddresses": list(mail.recipients)},
            "Content": {"Raw": {"Data": mail.raw}},
        }
        if self._configuration_set:
            request["ConfigurationSetName"] = self._configuration_set
        # An id that plain Celery code chose may have other characters. Changed ones could be the
        # id of another task, whose record would then name these recipients.
        if A_TAG.fullmatch(mail.task_id):
            request["EmailTags"] = [{"Name": TASK_TAG, "Value": mail.task_id}]
        with _faults():
            answer = self._client.send_email(**request)
        return Receipt(message_id=answer["MessageId"])

    def _is_suppressed(self, address: str) -> bool:
        try:
            self._client.get_suppressed_destination(EmailAddress=address)
        except ClientError as error:
            # By status, not by code: moto, the local stand-in for SES, has no suppression list and
            # answers a bare 404.
            if _status(error) == HTTP_NOT_FOUND:
                return False
            raise
        return True


@contextmanager
def _faults() -> Iterator[None]:
    """Translate boto3's errors. Those that aren't about this mail (permissions) pass through."""
    try:
        yield
    except ClientError as error:
        if translated := _translate(error):
            raise translated from error
        raise
    except NEVER_CONNECTED as error:
        raise MailTemporaryError("SES could not be reached.") from error
    except (HTTPClientError, SSLError) as error:
        raise OutcomeUnknownError("The connection to SES broke before its answer.") from error


def _translate(error: ClientError) -> MailError | None:
    code, text = error.response["Error"]["Code"], error.response["Error"]["Message"]
    if code in REJECTED:
        return MailRejectedError(f"SES refused the mail: {text}", type=REJECTED[code])
    if code in THROTTLED or _status(error) == HTTP_TOO_MANY_REQUESTS:
        return MailThrottledError(f"SES throttles this account: {text}")
    if _status(error) >= HTTP_SERVER_ERROR:
        return OutcomeUnknownError(f"SES failed: {code}")
    return None


def _status(error: ClientError) -> int:
    return error.response["ResponseMetadata"]["HTTPStatusCode"]
