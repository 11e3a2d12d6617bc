"""Dead letters: what they are, why they are there, and how to run them after all.

A redriven dead letter is judged by its record, for terminal states are final:

    record FAILURE            a new task is submitted like the old one (``retry_of``)
    record expired            the same, from the message's own arguments
    record waits or runs      the message goes back as it is: SQS moved it, having seen it too often
    record SUCCESS, REVOKED   nothing is left to do: the message is removed
    it still couldn't run     it stays, and is reported with what is in its way
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from time import monotonic
from typing import TYPE_CHECKING

from pydantic import ValidationError

from celeriac import states
from celeriac.app.factory import CeleriacApp, celery_app
from celeriac.app.task import READABLE_VERSIONS, SCHEMA_VERSION
from celeriac.clock import Millis
from celeriac.contract import Catalogue, Queue
from celeriac.contract.queues import HIGH
from celeriac.errors import unavailable
from celeriac.operations.queues import HOLD, delete, receive
from celeriac.records import Failure, RecordExistsError, TaskRecord, identifiers
from celeriac.storage.services import services
from celeriac.storage.values import ValueMissingError
from celeriac.topology import MAX_RECEIVES
from celeriac.transport.call import Call
from celeriac.transport.message import MalformedMessageError, Message

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageTypeDef


class Fate(Enum):
    """What a redrive does with a dead letter."""

    NEW_TASK = "new-task"
    SEND_AGAIN = "send-again"
    REMOVE = "remove"
    STAY = "stay"


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """A message of a dead-letter queue.

    ``why`` is the reason for which it is there. ``fate`` is what a redrive would do with it now.
    ``obstacle`` is the reason for which it would stay. A message that can't be decoded names no
    task.
    """

    message_id: str
    sent_at: Millis
    why: Failure
    fate: Fate
    obstacle: str | None = None
    task_id: str | None = None
    type: str | None = None
    tenant: str | None = None
    priority: str | None = None
    call: Call | None = field(default=None, repr=False)
    record: TaskRecord | None = field(default=None, repr=False)


@dataclass
class Redriven:
    """What a redrive did.

    ``new_tasks`` has the ids of new tasks, by the ids of the old ones. ``sent_again`` has the tasks
    whose message was sent again. ``removed`` counts the messages of tasks that had ended.
    ``finished`` is False if time ran out with messages left: redrive again.
    """

    new_tasks: dict[str, str] = field(default_factory=dict)
    sent_again: list[str] = field(default_factory=list)
    removed: int = 0
    stay: list[DeadLetter] = field(default_factory=list)
    finished: bool = False


def look(queue: Queue, *, app: CeleriacApp | None = None) -> list[DeadLetter]:
    """Up to ten dead letters of a queue, without taking them out.

    Costs one receive and one batch read. SQS shows a message only to a caller that
    receives it. The messages stay visible (``VisibilityTimeout=0``). Their receive counts grow, and
    nothing reads those in a dead-letter queue.

    Raises:
        botocore.exceptions.BotoCoreError: AWS can't be reached.
        botocore.exceptions.ClientError: it refused.
    """
    url = services().settings.dead_letter_url(queue)
    received = _unique(receive(url, hidden_for=timedelta(0)))
    return _read(received, (app or celery_app()).catalogue)


def redrive(
    queue: Queue,
    *,
    within: timedelta | None = None,
    app: CeleriacApp | None = None,
) -> Redriven:
    """Run the dead letters of a queue after all, as the module says.

    Doing it twice at once, or again after a crash, starts no task twice: a new task's id is derived
    from the old one's.

    Args:
        within: when to stop, finished or not; never unless given.

    Raises:
        UnavailableError: AWS didn't answer; what is left can be redriven later.
        botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError: likewise.
    """
    app = app or celery_app()
    url = services().settings.dead_letter_url(queue)
    ends_at = float("inf") if within is None else monotonic() + within.total_seconds()
    done = Redriven()
    staying: dict[str, str] = {}
    news_at = monotonic()
    while monotonic() < ends_at:
        received = _unique(receive(url, hidden_for=HOLD))
        fresh = [each for each in received if each["MessageId"] not in staying]
        # What stays is hidden meanwhile, and comes again if the rest takes longer than the hold.
        staying |= {
            each["MessageId"]: each["ReceiptHandle"] for each in received if each not in fresh
        }
        if fresh:
            news_at = monotonic()
        elif not received or monotonic() - news_at > HOLD.total_seconds():
            # There is nothing else: it would have come by now, among what stays.
            done.finished = True
            break
        settled = []
        for each, letter in zip(fresh, _read(fresh, app.catalogue), strict=True):
            if letter.fate is Fate.STAY:
                staying[each["MessageId"]] = each["ReceiptHandle"]
                done.stay.append(letter)
            else:
                _settle(app, queue, each["Body"], letter, done)
                settled.append(each)
        delete(url, settled)
    for receipt_handle in staying.values():
        services().sqs.change_message_visibility(
            QueueUrl=url, ReceiptHandle=receipt_handle, VisibilityTimeout=0
        )
    return done


def _unique(received: list[MessageTypeDef]) -> list[MessageTypeDef]:
    """A visible message may be handed out twice in one answer."""
    return list({each["MessageId"]: each for each in received}.values())


def _read(received: list[MessageTypeDef], types: Catalogue) -> list[DeadLetter]:
    """What these messages are, in their order; their records are read in one batch."""
    messages: list[Message | MalformedMessageError] = []
    for each in received:
        try:
            messages.append(Message.from_text(each["Body"]))
        except MalformedMessageError as error:
            messages.append(error)
    ids = [each.task_id for each in messages if isinstance(each, Message)]
    records = services().records.get_many(ids)
    return [
        _malformed(each, message)
        if isinstance(message, MalformedMessageError)
        else _letter(each, message, records.get(message.task_id), types)
        for each, message in zip(received, messages, strict=True)
    ]


def _malformed(received: MessageTypeDef, error: MalformedMessageError) -> DeadLetter:
    return DeadLetter(
        message_id=received["MessageId"],
        sent_at=_sent_at(received),
        why=Failure(type="undecodable-message", message=str(error)),
        fate=Fate.STAY,
        obstacle="It can't be decoded. Purge the dead letters, or delete it with AWS's console.",
    )


def _letter(
    received: MessageTypeDef, message: Message, record: TaskRecord | None, types: Catalogue
) -> DeadLetter:
    call = None
    obstacle = None
    if record is None or record.state == states.FAILURE:
        fate = Fate.NEW_TASK
        call = _call(message, record)
        obstacle = _obstacle(message, record, call, types)
    else:
        fate = Fate.REMOVE if record.terminal else Fate.SEND_AGAIN
    return DeadLetter(
        message_id=received["MessageId"],
        sent_at=_sent_at(received),
        why=_why(record),
        fate=Fate.STAY if obstacle else fate,
        obstacle=obstacle,
        task_id=message.task_id,
        type=record.type if record else message.type,
        tenant=record.tenant if record else message.own.get("tenant"),
        priority=record.priority if record else HIGH if message.high else None,
        call=call,
        record=record,
    )


def _why(record: TaskRecord | None) -> Failure:
    if record is None:
        return Failure(type="expired", message="Its record, which said why, has expired.")
    if record.failure is not None and record.state == states.FAILURE:
        return record.failure
    if record.terminal:
        return Failure(type="duplicate", message=f"Its task has ended as {record.state}.")
    return Failure(
        type="received-too-often",
        message=f"It was received {MAX_RECEIVES} times, and no worker settled it.",
    )


def _call(message: Message, record: TaskRecord | None) -> Call | None:
    """What the task was called with, if that is kept anywhere."""
    if record is None:
        return message.call
    try:
        text = services().values.get(record.tenant, record.task_id, record.input)
    except ValueMissingError:
        return message.call
    return Call.as_json(text).alone()


def _obstacle(
    message: Message, record: TaskRecord | None, call: Call | None, types: Catalogue
) -> str | None:
    """Why a new task would fail as the old one did; None if it may well not."""
    version = message.own.get("v", SCHEMA_VERSION)
    if version not in READABLE_VERSIONS:
        readable = " and ".join(map(str, READABLE_VERSIONS))
        return f"It has version {version}; this deployment reads {readable}."
    if call is None:
        return "What it was called with has expired."
    if message.type in types:
        try:
            types[message.type].payloads.read_accepted(call.payload)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"])) or "payload"
            return f"Its payload isn't valid for {message.type}: {where}: {first['msg']}."
    elif record and record.failure and record.failure.type == "unknown-task-type":
        return f"There still is no task type {message.type!r}."
    return None


def _settle(app: CeleriacApp, queue: Queue, body: str, letter: DeadLetter, done: Redriven) -> None:
    task_id = str(letter.task_id)
    match letter.fate:
        case Fate.NEW_TASK if letter.call is not None:
            done.new_tasks[task_id] = _submit_anew(app, queue, letter, letter.call)
        case Fate.SEND_AGAIN if letter.record is not None:
            with unavailable("SQS"):
                services().sqs.send_message(
                    QueueUrl=services().settings.queue_url(queue, letter.priority),
                    MessageBody=body,
                    MessageGroupId=letter.record.tenant,
                )
            done.sent_again.append(task_id)
        case _:
            done.removed += 1


def _submit_anew(app: CeleriacApp, queue: Queue, letter: DeadLetter, call: Call) -> str:
    """Submit a task like the one of a dead letter; the new one's id, always the same."""
    old_id = str(letter.task_id)
    type_name = str(letter.type)
    tenant = letter.tenant or services().settings.tenant
    record = app.new_record(
        type_name,
        identifiers.derived_task_id(tenant, type_name, f"redrive {old_id}"),
        tenant,
        call,
        queue=queue.name,
        tags=letter.record.tags if letter.record else (),
        priority=letter.priority,
        retry_of=old_id,
    )
    with unavailable("DynamoDB"):
        try:
            services().records.create(record)
        except RecordExistsError as error:
            # Redriven before, and deleted from the dead-letter queue only now.
            if not error.existing.terminal:
                app.resend(error.existing)
            return record.task_id
    app.publish_new(record, call)
    return record.task_id


def _sent_at(received: MessageTypeDef) -> Millis:
    return int(received["Attributes"]["SentTimestamp"])
