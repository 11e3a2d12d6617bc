"""Extends the messages and renews the leases that this worker holds.

Two threads of the main process do it, one for messages and one for leases. Neither waits for the
other or for the event loop, and both go on while a worker drains. Visibility and lease last about a
minute, so the tasks of a worker that dies are free again within that time.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from functools import cache, partial
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

from celery import bootsteps
from celery.worker import state
from celery.worker.consumer.tasks import Tasks

from celeriac import clock
from celeriac.errors import transient
from celeriac.records import LeaseLostError
from celeriac.storage.services import services
from celeriac.transport import tens
from celeriac.worker import forks
from celeriac.worker.cancellation import Cancellations
from celeriac.worker.claims import waiting
from celeriac.worker.health import Health
from celeriac.worker.heartbeat import Heartbeat
from celeriac.worker.pausing import pausing
from celeriac.worker.protection import Protection, surplus
from celeriac.worker.threads import Limits

if TYPE_CHECKING:
    from celeriac.settings import Settings
    from celeriac.transport import Channel
    from celeriac.worker.request import RecordedRequest

log = logging.getLogger(__name__)

TICK = timedelta(seconds=1)
#: How often the records of running tasks are read for a cancellation.
ASK_INTERVAL = timedelta(seconds=4)


class Keeper:
    """Renews, once a second, what is due."""

    def __init__(self) -> None:
        self.consumer: Any = None
        self._renewed: dict[str, float] = {}
        self._leased: dict[str, float] = {}
        self._asked_at = float("-inf")
        self._cancellations = Cancellations()
        self._limits = Limits()
        self._health = Health()
        self._heartbeat = Heartbeat()
        self._protection = Protection.from_environment(partial(surplus, self._heartbeat.id))
        self._threads: list[threading.Thread] = []
        self._busy = threading.Lock()

    @property
    def channel(self) -> Channel | None:
        """The channel that consumes, once there is one."""
        consumer = getattr(self.consumer, "task_consumer", None)
        return cast("Channel | None", getattr(consumer, "channel", None))

    @property
    def settings(self) -> Settings:
        """Those of the app that the worker runs."""
        return cast("Settings", self.consumer.app.settings)

    def attach(self, consumer: Any) -> None:
        """Keep what this consumer receives; a worker that reconnects has a new one."""
        self.consumer = consumer
        if not self._threads:
            forks.install()
            self._threads = [
                threading.Thread(target=_each_second, args=(tick,), name=name, daemon=True)
                for name, tick in (
                    ("visibility", self._keep_messages),
                    ("keeper", self._keep_tasks),
                )
            ]
            for thread in self._threads:
                thread.start()

    def read_pauses(self, channel: Channel) -> None:
        """Obey what is paused, on a channel that has just been made."""
        self._try(lambda: pausing().read(channel, at_once=True))

    def running(self) -> list[RecordedRequest]:
        """The requests that a child runs."""
        while True:
            try:
                return [request for request in state.active_requests if request.owner]
            except RuntimeError:
                continue  # the event loop added one meanwhile

    def end(self, **_: Any) -> None:
        """Remove the heartbeat: the worker ends."""
        with self._busy:
            self._try(self._heartbeat.end)

    def _keep_messages(self) -> None:
        channel = self.channel
        if channel is None:
            return
        running = self.running()
        self._try(lambda: self._renew_visibility(channel, running, self.settings.visibility))
        self._try(lambda: self._health.write(channel, running))

    def _keep_tasks(self) -> None:
        channel = self.channel
        if channel is None:
            return
        with self._busy:
            running = self.running()
            self._renew_leases(running, self.settings.visibility)
            for step in (
                lambda: pausing().read(channel),
                lambda: self._ask(running),
                lambda: self._cancellations.enforce(self.consumer, running),
                lambda: self._limits.enforce(running),
                lambda: self._protect(channel, busy=bool(running or waiting())),
                lambda: self._heartbeat.beat(self.consumer, channel, running),
            ):
                self._try(step)

    def _protect(self, channel: Channel, *, busy: bool) -> None:
        try:
            self._protection.update(busy=busy)
        finally:
            channel.rest(self._protection.rests())

    def _try(self, step: Callable[[], None]) -> None:
        """One fault mustn't keep the other steps from being taken."""
        try:
            with forks.held_off():
                step()
        except Exception as error:
            if not transient(error):
                log.exception("the keeper goes on after")
            else:
                log.warning("the keeper goes on after: %s", error)

    def _renew_visibility(
        self, channel: Channel, running: list[RecordedRequest], visibility: timedelta
    ) -> None:
        now = monotonic()
        held = channel.held.snapshot()
        for request in running:
            # A request that began before the worker reconnected is held by the earlier channel.
            message = request.channel.held.get(request.tag)
            if message is not None:
                held[request.tag] = message
        self._renewed = {tag: at for tag, at in self._renewed.items() if tag in held}
        due: dict[str, list[tuple[str, str]]] = {}
        for tag, message in held.items():
            if now - self._renewed.get(tag, message.received_at) >= _interval(visibility):
                due.setdefault(message.queue_url, []).append((tag, message.receipt_handle))
        for url, entries in due.items():
            seconds = int(visibility.total_seconds())
            renewals = [
                {"ReceiptHandle": each, "VisibilityTimeout": seconds} for _, each in entries
            ]
            answers = tens.call(services().sqs.change_message_visibility_batch, url, renewals)
            for (tag, _), failed in zip(entries, answers, strict=True):
                if failed is not None:
                    log.warning("a message's visibility is not extended: %s", failed.code)
                if failed is None or failed.by_sender:
                    # By sender: it was delivered again, or held for SQS's 12 hours. Asking at each
                    # tick wouldn't help. The lease, which is renewed, keeps others from the task.
                    self._renewed[tag] = now

    def _renew_leases(self, running: list[RecordedRequest], visibility: timedelta) -> None:
        now = monotonic()
        owners = {request.owner for request in running}
        self._leased = {owner: at for owner, at in self._leased.items() if owner in owners}
        for request in running:
            since = self._leased.get(request.owner, request.begun_at or now)
            if now - since >= _interval(visibility):
                self._try(partial(self._renew_lease, request, visibility))

    def _renew_lease(self, request: RecordedRequest, visibility: timedelta) -> None:
        now = monotonic()
        try:
            record = services().records.renew(
                request.id, request.owner, clock.now() + clock.millis(visibility)
            )
        except LeaseLostError as lost:
            # Under our own name it has just ended, and its child is about to say so.
            if lost.now_is is None or lost.now_is.lease_owner != request.owner:
                self._cancellations.lost(request, lost)
        else:
            self._leased[request.owner] = now
            self._cancellations.consider(request, record)

    def _ask(self, running: list[RecordedRequest]) -> None:
        now = monotonic()
        if now - self._asked_at < ASK_INTERVAL.total_seconds():
            return
        self._asked_at = now
        # Short tasks end before anybody could cancel them: they cost no read.
        asked = [
            request
            for request in running
            if request.begun_at and now - request.begun_at > ASK_INTERVAL.total_seconds()
        ]
        if not asked:
            return
        records = services().records.get_many(request.id for request in asked)
        for request in asked:
            record = records.get(request.id)
            if record is not None:
                self._cancellations.consider(request, record)


def _each_second(tick: Callable[[], None]) -> None:
    done = threading.Event()
    while not done.wait(TICK.total_seconds()):
        tick()


def _interval(visibility: timedelta) -> float:
    """Renewed at a third of its time: two renewals may fail before it is lost."""
    return visibility.total_seconds() / 3


class KeeperStep(bootsteps.StartStopStep):
    """Starts the keeper with the first consumer; it ends with the process."""

    requires = (Tasks,)

    def start(self, consumer: Any) -> None:
        keeper().attach(consumer)
        channel = keeper().channel
        if channel is not None:
            # Before the event loop turns, and with it the first poll is answered.
            keeper().read_pauses(channel)

    def stop(self, consumer: Any) -> None:
        """The event loop has ended: a poll left open would be given a message unread."""
        channel = getattr(consumer.task_consumer, "channel", None)
        if channel is not None and consumer.hub is not None:
            channel.end_polls()


@cache
def keeper() -> Keeper:
    """The keeper of this process's worker, made when the worker starts."""
    return Keeper()
