"""Keep what SES says of a task's mail: bounces, complaints, delays.

SES publishes an event to the deployment's topic, and the topic calls the API's function. An event
that can't be kept is logged and dropped, because SNS and Lambda would only deliver it again. Log
lines have no addresses, which are personal data.
docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-examples.html
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from celeriac import clock
from celeriac.clock import Millis
from celeriac.records.identifiers import is_task_id
from celeriac.settings import settings
from celeriac.storage.mail_events import MailEvent, MailEventKind
from celeriac.storage.services import services

logger = logging.getLogger(__name__)

#: The tag that ``send-email`` gives each mail: the task's id.
TASK_TAG = "celeriac-task-id"
_SET_TAG = "ses:configuration-set"
# Recipients of a mail: docs.aws.amazon.com/ses/latest/dg/quotas.html
_MOST_RECIPIENTS = 50


class _FromSes(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, hide_input_in_errors=True)


class _Recipient(_FromSes):
    email_address: str
    diagnostic_code: str | None = None


class _Bounce(_FromSes):
    bounce_type: str
    bounce_sub_type: str
    bounced_recipients: list[_Recipient]
    timestamp: AwareDatetime


class _Complaint(_FromSes):
    complaint_feedback_type: str | None = None
    complaint_sub_type: str | None = None
    complained_recipients: list[_Recipient]
    timestamp: AwareDatetime


class _Delay(_FromSes):
    delay_type: str
    delayed_recipients: list[_Recipient]
    timestamp: AwareDatetime


class _Reject(_FromSes):
    reason: str


class _Failure(_FromSes):
    error_message: str


class _Mail(_FromSes):
    destination: list[str]
    tags: dict[str, list[str]]
    timestamp: AwareDatetime


class _Event(_FromSes):
    """An event; the field that its type names says what happened."""

    event_type: str
    mail: _Mail
    bounce: _Bounce | None = None
    complaint: _Complaint | None = None
    delivery_delay: _Delay | None = None
    reject: _Reject | None = None
    failure: _Failure | None = None

    def told(self) -> Iterator[MailEvent]:
        """What the event says, of each recipient; nothing if its type isn't one to keep."""
        if self.bounce:
            for each in self.bounce.bounced_recipients:
                yield MailEvent(
                    kind=MailEventKind.BOUNCED,
                    recipient=each.email_address,
                    at=_millis(self.bounce.timestamp),
                    type=self.bounce.bounce_type,
                    subtype=self.bounce.bounce_sub_type,
                    diagnostic=each.diagnostic_code,
                )
        if self.complaint:
            for each in self.complaint.complained_recipients:
                yield MailEvent(
                    kind=MailEventKind.COMPLAINED,
                    recipient=each.email_address,
                    at=_millis(self.complaint.timestamp),
                    type=self.complaint.complaint_feedback_type,
                    subtype=self.complaint.complaint_sub_type,
                )
        if self.delivery_delay:
            for each in self.delivery_delay.delayed_recipients:
                yield MailEvent(
                    kind=MailEventKind.DELAYED,
                    recipient=each.email_address,
                    at=_millis(self.delivery_delay.timestamp),
                    type=self.delivery_delay.delay_type,
                    diagnostic=each.diagnostic_code,
                )
        # SES took the mail and sent it to nobody.
        why = self.reject.reason if self.reject else None
        why = self.failure.error_message if self.failure else why
        if why is not None:
            for address in self.mail.destination:
                yield MailEvent(
                    kind=MailEventKind.REJECTED,
                    recipient=address,
                    at=_millis(self.mail.timestamp),
                    type=self.event_type,
                    diagnostic=why,
                )


class _Notification(BaseModel):
    model_config = ConfigDict(hide_input_in_errors=True)

    message: str = Field(alias="Message")


class _Dropped(Exception):
    """The event can't be kept; the message says why."""


def receive(records: Iterable[Any]) -> None:
    """Keep the events of a call by SNS, which gives the function its ``Records``.

    Raises:
        botocore.exceptions.BotoCoreError: DynamoDB can't be reached. Lambda calls again, twice.
        botocore.exceptions.ClientError: DynamoDB refused for now.
    """
    for each in records:
        try:
            _keep(each)
        except _Dropped as reason:
            logger.warning("An event of SES was dropped: %s", reason)


def _keep(record: Any) -> None:
    try:
        notification = _Notification.model_validate(
            record.get("Sns") if isinstance(record, Mapping) else None
        )
        event = _Event.model_validate_json(notification.message)
    except ValidationError as error:
        raise _Dropped(f"it has another form: {_faults(error)}") from None
    task_id = _task_of(event)
    found = services().records.get(task_id)
    if found is None:
        raise _Dropped(f"there is no task {task_id}, or no longer")
    told = [*event.told()][:_MOST_RECIPIENTS]
    if not told:
        raise _Dropped(f"task {task_id} needs nothing of its type")
    kept = [services().mail_events.keep(task_id, each, found.expires_at) for each in told]
    # A call that broke off before this comes again, with nothing new to keep.
    if any(kept) or not found.mail_events:
        services().records.note_mail_events(task_id)
    logger.info("SES told what became of the mail of task %s: %s", task_id, told[0].kind)


def _task_of(event: _Event) -> str:
    """The id of the task that sent the mail.

    Ids made of idempotency keys are the same in all deployments, so the configuration set must be
    this one's.
    """
    tags, own = event.mail.tags, settings().mail_configuration_set
    if own is None or tags.get(_SET_TAG) != [own]:
        raise _Dropped("its configuration set isn't this deployment's")
    match tags.get(TASK_TAG):
        case [task_id] if is_task_id(task_id):
            return task_id
    raise _Dropped("its mail names no task")


def _faults(error: ValidationError) -> str:
    """Where the form is another: our own fields' names, and no value."""
    found = error.errors(include_input=False, include_context=False, include_url=False)
    return ", ".join(f"{'.'.join(map(str, each['loc'][:2]))} {each['type']}" for each in found[:5])


def _millis(moment: datetime) -> Millis:
    """A time, cut to the present: no event comes from the future."""
    return max(0, min(int(moment.timestamp() * 1000), clock.now()))
