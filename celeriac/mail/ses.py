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

from celeriac.mail.backend import (
    Mail,
    MailError,
    MailRejectedError,
    MailTemporaryError,
    OutcomeUnknownError,
    Receipt,
)

if TYPE_CHECKING:
    from mypy_boto3_sesv2 import SESV2Client

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

# What a tag's value may hold: docs.aws.amazon.com/ses/latest/APIReference-V2/API_MessageTag.html
NOT_IN_A_TAG = re.compile(r"[^A-Za-z0-9_-]")


class SesBackend:
    """Sends raw MIME, tagged ``celeriac-task-id`` in SES's own events."""

    def __init__(self, client: SESV2Client | None = None) -> None:
        self._client = client or boto3.client("sesv2", config=self.config())

    @staticmethod
    def config() -> Config:
        """One try a call: SendEmail has no idempotency token, and botocore's own retry after a
        lost answer would send the mail again without anyone knowing."""
        return Config(
            connect_timeout=5,
            read_timeout=60,
            retries={"total_max_attempts": 1},
            tcp_keepalive=True,
        )

    def suppressed(self, addresses: Iterable[str]) -> frozenset[str] | None:
        """The addresses on the account's suppression list; None if SES is too busy to say.

        SES withholds mail from those addresses in any case, after having accepted it
        (docs.aws.amazon.com/ses/latest/dg/sending-email-suppression-list.html). Asking first lets
        the task say so. The question has a low rate limit of its own, so a busy answer must not
        hold up the mail.
        """
        try:
            with _faults():
                return frozenset(each for each in addresses if self._is_suppressed(each))
        except MailTemporaryError as error:
            logger.warning("The suppression list was left to SES: %s", error)
            return None

    def send(self, mail: Mail) -> Receipt:
        with _faults():
            answer = self._client.send_email(
                FromEmailAddress=mail.sender,
                Destination={"ToAddresses": list(mail.recipients)},
                Content={"Raw": {"Data": mail.raw}},
                EmailTags=[
                    {
                        "Name": "celeriac-task-id",
                        "Value": NOT_IN_A_TAG.sub("-", mail.task_id)[:256],
                    }
                ],
            )
        return Receipt(message_id=answer["MessageId"])

    def _is_suppressed(self, address: str) -> bool:
        try:
            self._client.get_suppressed_destination(EmailAddress=address)
        except ClientError as error:
            # By status, not by code: moto's server, which stands in for SES on a laptop, has no
            # suppression list and answers a bare 404.
            if _status(error) == HTTP_NOT_FOUND:
                return False
            raise
        return True


@contextmanager
def _faults() -> Iterator[None]:
    """Translate what boto3 raises. What isn't about this mail (permissions, say) goes through."""
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
        return MailTemporaryError(f"SES asks to send more slowly: {text}")
    if _status(error) >= HTTP_SERVER_ERROR:
        return OutcomeUnknownError(f"SES failed: {code}")
    return None


def _status(error: ClientError) -> int:
    return error.response["ResponseMetadata"]["HTTPStatusCode"]
