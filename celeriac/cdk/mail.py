"""The sender of a deployment's mail, and its identity in SES. Plain data, without CDK."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from email_validator import EmailNotValidError, validate_email

from celeriac.contract import Catalogue, Queue

#: The task type that sends mail, if the catalogue has it.
MAIL = "send-email"
#: How long a process is at one mail, generously: too few workers would be worse than too many.
SENDING = timedelta(seconds=1)


@dataclass(frozen=True, kw_only=True)
class MailDomain:
    """A domain to make an identity of, in a Route 53 zone of this account.

    ``name`` is the zone's own name or a name below it. SES signs the domain's mail (Easy DKIM).
    """

    name: str
    zone_name: str
    zone_id: str

    def __post_init__(self) -> None:
        if not _within(self.name, self.zone_name):
            raise ValueError(
                f"MailDomain(name={self.name!r}): it isn't in the zone {self.zone_name!r}. Give "
                "the zone's own name, or a domain below it."
            )


@dataclass(frozen=True, kw_only=True)
class Mail:
    """The sender of a deployment's mail.

    ``identity`` is one of three. ``create``: the deployment creates an identity of the address, and
    SES sends it a verification mail. ``existing``: SES has verified the address or its domain in
    this account and region, so nothing is created. A ``MailDomain``: the deployment creates an
    identity of the domain, with its DNS records, and no mail has to be answered.

    ``per_second`` is how many mails a second SES takes from this account: ``MaxSendRate`` of ``aws
    sesv2 get-account``. The fleet of ``send-email`` grows no larger than that rate needs.

    Raises:
        ValueError: the sender is no address, or is outside its domain; the rate is less than 1.
    """

    sender: str
    identity: Literal["create", "existing"] | MailDomain = "create"
    per_second: int = 14

    def __post_init__(self) -> None:
        here = f"Mail(sender={self.sender!r})"
        try:
            validate_email(self.sender, check_deliverability=False, allow_smtputf8=False)
        except EmailNotValidError as error:
            raise ValueError(
                f"{here}: give one address without a name, such as tasks@your.domain. {error}"
            ) from None
        if self.per_second < 1:
            raise ValueError(f"{here}: per_second={self.per_second} must be 1 or more.")
        if isinstance(self.identity, MailDomain):
            # SES takes the domains below a verified one for verified too.
            # docs.aws.amazon.com/ses/latest/dg/creating-identities.html
            if not _within(self.sender.rpartition("@")[2], self.identity.name):
                raise ValueError(
                    f"{here}: the address isn't in MailDomain(name={self.identity.name!r}), so "
                    "SES wouldn't send from it. Give an address of that domain."
                )
        elif self.identity not in ("create", "existing"):
            raise ValueError(
                f"{here}: identity={self.identity!r} must be 'create', 'existing' or a MailDomain."
            )


def _within(name: str, domain: str) -> bool:
    """Whether a domain is this one, or below it."""
    return f".{name.lower()}".endswith(f".{domain.lower()}")


def most_workers(queue: Queue, catalogue: Catalogue, mail: Mail | None) -> int:
    """The size that a queue's fleet grows to: that of the fleet, or what sends as SES takes it.

    ``mail`` is the sender through SES. More workers would be refused, each mail again and again.
    A fleet with other task types keeps its size.
    """
    fleet, types = queue.fleet, catalogue.on(queue)
    if mail is None or MAIL not in catalogue or types != [catalogue[MAIL]]:
        return fleet.max_workers
    senders = math.ceil(mail.per_second * SENDING.total_seconds() / fleet.processes)
    return max(min(senders, fleet.max_workers), fleet.min_workers, 1)
