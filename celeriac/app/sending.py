"""Sending: every Celery task has a record, written before its message goes out.

``send_task`` is the one gate through which Celery sends: ``delay``, ``apply_async``, each step of
a canvas and each retry come through it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from typing import Any

from celery import Celery
from celery.result import AsyncResult
from dateutil.parser import isoparse

from celeriac import clock, states
from celeriac.app import call_options, canvas_parts, encoding, telemetry
from celeriac.app.adoption import adopt
from celeriac.app.task import SCHEMA_VERSION
from celeriac.contract import Catalogue, RateLimited
from celeriac.contract.queues import HIGH, NORMAL
from celeriac.errors import UnavailableError, unavailable
from celeriac.records import Failure, RecordExistsError, TaskRecord, identifiers
from celeriac.settings import Settings
from celeriac.storage.services import services
from celeriac.topology import LONGEST_DELAY
from celeriac.transport import lanes, outbox
from celeriac.transport.call import LARGEST_IN_MESSAGE, Call
from celeriac.transport.message import HEADER, tenant_of

# One message is on its way: it needs no batch of its own.
_publishing: ContextVar[bool] = ContextVar("publishing", default=False)

# Whose task it is that has ended, and has others sent or ended.
_tenant: ContextVar[str | None] = ContextVar("tenant", default=None)

# The options of send_task that are about this sending, not about the task.
_TRANSIENT_OPTIONS = (
    "producer",
    "connection",
    "router",
    "result_cls",
    "publisher",
    "add_to_parent",
    "reply_to",
    "task_type",
    "route_name",
    "headers",
    "declare",
    "queue",
    "delivery_info",
)


@contextmanager
def on_behalf_of(request: Any) -> Iterator[None]:
    """What is sent or ended inside is of this request's tenant, in the main process too."""
    token = _tenant.set(tenant_of(request) or _tenant.get())
    try:
        yield
    finally:
        _tenant.reset(token)


class CeleriacApp(Celery):
    """Celery, with a record before each message."""

    @property
    @abstractmethod
    def catalogue(self) -> Catalogue:
        """The task types that it runs, and the queues there are."""

    @property
    @abstractmethod
    def settings(self) -> Settings:
        """What it runs under."""

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Inside, messages are collected; they go out together, ten to a call.

        Raises:
            UnavailableError: SQS didn't take some of them; their records are gone again.
        """
        body_error: Exception | None = None
        try:
            with outbox.collected():
                try:
                    yield
                except Exception as error:
                    body_error = error
                    raise
        except outbox.UnsentError as error:
            # A worker may have claimed one whose answer alone was lost: then it stays.
            with unavailable("DynamoDB"):
                gone = [each for each in error.task_ids if services().records.discard(each)]
            if body_error is not None:
                raise body_error from error
            if gone:
                raise UnavailableError("SQS") from error

    @contextmanager
    def producer_or_acquire(self, producer: Any = None) -> Iterator[Any]:
        """As Celery's. What a canvas sends through one producer goes out in batches."""
        alone = producer is not None or _publishing.get() or outbox.current() is not None
        with (
            nullcontext() if alone else self.collecting(),
            super().producer_or_acquire(producer) as acquired,
        ):
            yield acquired

    def send_task(
        self,
        name: str,
        args: Any = None,
        kwargs: Any = None,
        countdown: float | None = None,
        eta: datetime | str | None = None,
        task_id: str | None = None,
        retries: int = 0,
        **options: Any,
    ) -> AsyncResult[Any]:
        """Write the record, then send the message. Takes what Celery's ``send_task`` takes.

        A delay is SQS's to keep: ``countdown`` and ``eta`` never reach a worker's memory.

        Raises:
            UnknownQueueError: there is no such queue.
            OptionRefusedError: an option can't hold on SQS; the message says what to do.
            TaskIdError: a task can't have this id.
            CallNotJsonError: no JSON can hold the arguments. It is kombu's ``EncodeError`` too.
            UnavailableError: the record or the message could not be written; neither is.
        """
        options = call_options.checked(name, task_id, options)
        countdown = call_options.delay_of(options, countdown)
        queue = _queue_name(options.get("queue"))
        if queue is not None:
            self.amqp.queues[queue]
        task_id = task_id or identifiers.new_task_id()
        due_at = _due_at(countdown, eta, self.timezone)
        kept = {
            option: value
            for option, value in options.items()
            if option not in _TRANSIENT_OPTIONS and value not in (None, (), [], {})
        }
        if _is_far(due_at):
            kept |= self._known_now(options)
        call = Call(tuple(args or ()), dict(kwargs or {}), kept)
        if retries:
            _keep_group(options, self.current_worker_task)
            return self.publish(self._next_attempt(task_id, call, due_at), call, **options)
        record = self._first_attempt(name, task_id, call, options, due_at)
        return self.publish_new(record, call, **options)

    def _known_now(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """What a message takes from its caller and the task around it, kept until it is sent."""
        known: dict[str, Any] = {}
        if headers := call_options.own_headers(options.get("headers") or {}):
            known["headers"] = headers
        if (parent := self.current_worker_task) is not None:
            request = parent.request
            known["root_id"] = options.get("root_id") or request.root_id or request.id
            known["parent_id"] = options.get("parent_id") or request.id
        return known

    def _first_attempt(
        self,
        name: str,
        task_id: str,
        call: Call,
        options: Mapping[str, Any],
        due_at: clock.Millis | None,
    ) -> TaskRecord:
        parent = self.current_worker_task
        record = self.new_record(
            name,
            task_id,
            self.current_tenant(),
            call,
            due_at=due_at,
            queue=_queue_name(options.get("queue")),
            priority=self._priority_of(options, parent),
            group_id=options.get("group_id"),
            parent_id=options.get("parent_id") or (parent.request.id if parent else None),
        )
        with unavailable("DynamoDB"):
            try:
                services().records.create(record)
            except RecordExistsError as error:
                # The step of a canvas, sent again because the step before it ran again. A second
                # message is harmless, and the first may never have been sent.
                # Noted as sent again, so that a sending that fails doesn't take the record back.
                # A task that was replaced has handed its id on to one of another type: so that
                # one is kept, for its retries and for a message that has to be sent again.
                waiting = services().records.resend(
                    task_id, type=record.type, queue=record.queue, input=record.input
                )
                return replace(
                    waiting or error.existing,
                    type=record.type,
                    queue=record.queue,
                    input=record.input,
                    due_at=record.due_at,
                )
        return record

    def _priority_of(self, options: Mapping[str, Any], parent: Any) -> str | None:
        """How urgent a call is: by its option, by its parent if that is inherited, or unsaid."""
        number = options.get("priority")
        if number is None and parent is not None and self.conf.task_inherit_parent_priority:
            number = (parent.request.delivery_info or {}).get("priority")
        if number is None:
            return None
        return HIGH if lanes.is_high(number) else NORMAL

    def _next_attempt(self, task_id: str, call: Call, due_at: clock.Millis | None) -> TaskRecord:
        """Retry: the record before the message, so that the message finds it waiting.

        record   STARTED n ──► RETRY n+1                      ──► STARTED n+1
        message                           ──► sent (n+1) ──►
        a crash                 ✗ here: message n, never acknowledged, comes back, finds
                                  RETRY n+1 and has message n+1 sent again
        """
        task = self.current_worker_task
        if task is None or task.request.id != task_id:
            raise RuntimeError(f"Task {task_id} can be retried only by its own running attempt.")
        request = task.request
        changed = (list(call.args), dict(call.kwargs)) != (list(request.args), request.kwargs)
        record: TaskRecord = request.record
        reference = None
        expires_at = max(record.expires_at, self._expires_at(due_at or clock.now()))
        # The message of one that is due later is made of the record, with this retry's options.
        far = _is_far(due_at)
        with unavailable("DynamoDB"):
            if changed or far:
                reference = services().values.put(
                    record.tenant, task_id, "input", call.to_text(), expires_at
                )
            retried = services().records.retry(
                task_id,
                request.owner,
                due_at or clock.now(),
                Failure.of(request.get("retry_reason") or RuntimeError("asked for a retry")),
                input=reference,
                expires_at=expires_at if far else None,
                limited=isinstance(request.get("retry_reason"), RateLimited),
            )
        telemetry.retried(retried)
        return retried

    def current_tenant(self) -> str:
        """Whose the task is that is sent, or ended, now: that of the task it comes from."""
        task = self.current_worker_task
        own = tenant_of(task.request) if task is not None else None
        return _tenant.get() or own or self.settings.tenant

    def new_record(
        self,
        name: str,
        task_id: str,
        tenant: str,
        call: Call,
        *,
        queue: str | None = None,
        priority: str | None = None,
        kept_until: clock.Millis = 0,
        **fields: Any,
    ) -> TaskRecord:
        """A PENDING record, with its input kept and not yet written itself.

        ``priority`` is that of ``task_default_priority`` unless given. The record is kept for
        ``record_ttl``, or ``kept_until`` then if that is later.

        Raises ``CallNotJsonError``, ``UnavailableError``, and ``ValueError`` for a wrong priority.
        """
        if priority is None and lanes.is_high(self.conf.task_default_priority):
            priority = HIGH
        text = encoding.call_text(call)
        created_at = clock.now()
        expires_at = self._expires_at(fields.get("due_at") or created_at)
        expires_at = max(expires_at, -(-kept_until // 1000))
        with unavailable("S3 or DynamoDB"):
            reference = services().values.put(tenant, task_id, "input", text, expires_at)
        return TaskRecord(
            task_id=task_id,
            type=name,
            tenant=tenant,
            queue=queue or self.queue_of(name),
            priority=lanes.kept(priority),
            created_at=created_at,
            expires_at=expires_at,
            input=reference,
            **fields,
        )

    def _expires_at(self, due_at: clock.Millis) -> int:
        """How long the record of a task that is due then is kept, in seconds since 1970."""
        return (due_at + clock.millis(self.settings.record_ttl)) // 1000

    def publish_new(self, record: TaskRecord, call: Call, **options: Any) -> AsyncResult[Any]:
        """Send the message of a new record, and take the record back if SQS doesn't take it.

        Raises:
            UnavailableError: SQS didn't take it; the record is gone again. With DynamoDB out of
                reach as well it stays, and cleanup sends its message later.
        """
        try:
            result = self.publish(record, call, **options)
        except Exception:
            if self._taken_back(record.task_id):
                raise
            return self.AsyncResult(record.task_id)
        telemetry.submitted(record)
        return result

    def publish_new_together(self, created: Iterable[tuple[TaskRecord, Call]]) -> set[str]:
        """Send the messages of new records, ten to a call; the ids of those that weren't taken.

        Their records are gone again, as ``publish_new`` says.
        """
        records = {record.task_id: (record, call) for record, call in created}
        unsent: list[str] = []
        try:
            with outbox.collected():
                for task_id, (record, call) in records.items():
                    try:
                        self.publish(record, call)
                    except UnavailableError:
                        unsent.append(task_id)
        except outbox.UnsentError as error:
            unsent += error.task_ids
        refused = {task_id for task_id in unsent if self._taken_back_or_unknown(task_id)}
        for task_id, (record, _) in records.items():
            if task_id not in refused:
                telemetry.submitted(record)
        return refused

    def _taken_back_or_unknown(self, task_id: str) -> bool:
        try:
            return self._taken_back(task_id)
        except UnavailableError:
            return True

    def _taken_back(self, task_id: str) -> bool:
        """Take back a record whose message could not be sent.

        False if SQS had taken it after all and a worker has claimed it: the task is accepted.
        """
        with unavailable("DynamoDB"):
            if services().records.discard(task_id):
                return True
            found = services().records.get(task_id)
        # Gone; or a repeated idempotency key has noted that it sends, and may fail too.
        return found is None or found.state == states.PENDING

    def publish(self, record: TaskRecord, call: Call, **options: Any) -> AsyncResult[Any]:
        """Send the message of a record's current attempt.

        Raises:
            UnavailableError: SQS didn't take it.
        """
        header: dict[str, Any] = {
            "v": 1,
            "tenant": record.tenant,
            "attempt": record.attempt,
            "due": max(record.created_at, record.due_at or 0),
        }
        args, kwargs = list(call.args), dict(call.kwargs)
        options = {
            # Fair queues: one busy tenant doesn't delay the others.
            "MessageGroupId": record.tenant,
            **call.options,
            **options,
            "queue": record.queue,
        }
        # The record's, which stays through retries and replacements.
        options["priority"] = lanes.number_of(record.priority, options.get("priority"))
        if len(call.to_text()) > LARGEST_IN_MESSAGE:
            args, kwargs, header["input"] = [], {}, record.input
            if canvas_parts.leave_out(options):
                header |= {canvas_parts.LEFT_OUT: True, "v": SCHEMA_VERSION}
        headers = {**(options.pop("headers", None) or {}), HEADER: header}
        delay = max(0, (record.due_at or 0) - clock.now()) / 1000
        if delay:
            options["DelaySeconds"] = -int(-delay // 1)
        token = _publishing.set(True)
        try:
            with unavailable("SQS"):
                return super().send_task(
                    record.type,
                    args,
                    kwargs,
                    task_id=record.task_id,
                    retries=record.retries,
                    headers=headers,
                    **options,
                )
        finally:
            _publishing.reset(token)

    def resend(self, record: TaskRecord) -> bool:
        """Send an unfinished task's message again, as it was. A second message is harmless.

        False if there is nothing to send: the task has ended, a worker holds it, or it waits for
        the canvas that replaces it.

        Raises:
            UnavailableError: AWS didn't answer.
            ValueMissingError: its input has expired.
        """
        with unavailable("DynamoDB"):
            unheld = services().records.resend(record.task_id)
        if unheld is None:
            return False
        self.publish_kept(unheld)
        return True

    def publish_kept(self, record: TaskRecord) -> None:
        """Send the message of a record's attempt with the call that the record keeps.

        Raises ``UnavailableError`` and ``ValueMissingError``.
        """
        with unavailable("S3 or DynamoDB"):
            text = services().values.get(record.tenant, record.task_id, record.input)
        call = Call.from_text(text)
        options: dict[str, Any] = {}
        if isinstance(expires := call.options.get("expires"), int | float):
            # Seconds since the call, which was then.
            options["expires"] = clock.to_datetime(record.created_at) + timedelta(seconds=expires)
        self.publish(record, call, add_to_parent=False, **options)

    def queue_of(self, name: str) -> str:
        """The name of the queue that tasks of this name run on."""
        return str(self.amqp.router.route({}, name)["queue"].name)

    def _task_from_fun(self, *args: Any, **options: Any) -> Any:
        return adopt(super()._task_from_fun(*args, **options))

    def register_task(self, task: Any, **options: Any) -> Any:
        """As Celery's; the task, which claims its record."""
        return adopt(super().register_task(task, **options))


def _keep_group(options: dict[str, Any], task: Any) -> None:
    """Have a retry go to the group that its caller gave the task. Celery passes none on."""
    properties = (task.request.get("properties") or {}) if task is not None else {}
    if properties.get("MessageGroupId"):
        options.setdefault("MessageGroupId", properties["MessageGroupId"])


def _due_at(
    countdown: float | None, eta: datetime | str | None, timezone: tzinfo
) -> clock.Millis | None:
    """When a call asks to run; None for now, or a time that has passed, as in Celery.

    Raises ``OptionRefusedError``: it is more than a year ahead.
    """
    if countdown:
        call_options.check_countdown(countdown)
        return clock.now() + int(countdown * 1000)
    if eta is None:
        return None
    moment = isoparse(eta) if isinstance(eta, str) else eta
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone)
    due_at = int(moment.timestamp() * 1000)
    if due_at <= clock.now():
        return None
    call_options.check_countdown((due_at - clock.now()) / 1000)
    return due_at


def _is_far(due_at: clock.Millis | None) -> bool:
    """Whether EventBridge Scheduler keeps the delay, and the record the call."""
    return due_at is not None and due_at - clock.now() > clock.millis(LONGEST_DELAY)


def _queue_name(queue: Any) -> str | None:
    name: str | None = getattr(queue, "name", queue)
    return name
