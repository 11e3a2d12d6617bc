"""Claims what is to run next, so that no process waits for DynamoDB to take its claim.

    process 1      runs A ──────────── runs B ───────────
    main process       claim B ✓ ─ (B waits for a process)  claim C ✓

As many tasks as there are processes are claimed ahead, fewer if tasks take long. Urgent ones come
first, and of each tenant its oldest. Other held messages stay unclaimed. If a claim is refused or
fails, the process claims again: it knows the meaning of each answer.

A task whose type has limits isn't claimed ahead: it would count as running, and start late. It is
assigned a process first, then asks whether it may run, and then is claimed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from celery import bootsteps
from celery.concurrency.prefork import TaskPool
from celery.worker import state
from celery.worker.consumer.tasks import Tasks

from celeriac.app.release import Wait, release_lease
from celeriac.errors import transient
from celeriac.records import Claimed, ClaimLost
from celeriac.storage.services import services
from celeriac.transport.message import attempt_of, tenant_of
from celeriac.worker.phases import Phase
from celeriac.worker.prefetch import claims_ahead
from celeriac.worker.tally import tally
from celeriac.worker.turns import Turns
from celeriac.worker.writers import Writers

if TYPE_CHECKING:
    from celeriac.worker.request import RecordedRequest

log = logging.getLogger(__name__)


class Claims:
    """The requests that wait for a process, claimed or not. ``run`` gives one to the pool."""

    def __init__(
        self, controller: Any, run: Callable[[RecordedRequest], Any], writers: Writers
    ) -> None:
        self.writers = writers
        self._controller = controller
        self._run = run
        self._ahead: set[RecordedRequest] = set()
        self._unclaimed: Turns[RecordedRequest] = Turns(
            lambda: (*state.active_requests, *self._ahead),
            lambda request: tenant_of(request.request_dict),
        )
        self._stopped = False

    def take(self, request: RecordedRequest) -> None:
        """Have a request run, as soon as there is a process for it."""
        request.claims = self
        held = request.channel.held.get(request.tag)
        self._unclaimed.add(request, high=held is not None and held.high)
        self._advance()

    def freed(self, request: RecordedRequest) -> None:
        """A process has taken this request, or its message was returned: there is room."""
        self._ahead.discard(request)
        self._advance()

    def close(self) -> None:
        """Claim and run no more. The messages of requests that wait are returned."""
        self._stopped = True
        for request in waiting():
            if request.phase.now is not Phase.BEGUN:
                request.return_now()

    def finish(self) -> None:
        """Wait for the writes under way. From now on each write is made at once."""
        self.writers.finish()

    def _advance(self) -> None:
        while self._unclaimed and not self._stopped and len(self._ahead) < self._most_ahead():
            request = self._unclaimed.take()
            if request.admission is not None:
                self._controller.semaphore.acquire(self._on_assigned, request)
                continue
            held = request.channel.held.get(request.tag)
            if held is None:
                continue  # returned
            if held.receives > 1:
                # A worker may have been lost while it ran this task. Its process claims it, so
                # that a second loss counts.
                self._run(request)
            elif request.phase.enter(Phase.CLAIMING, unless=(Phase.RETURNED,)):
                ahead = self._controller.semaphore.value <= len(self._ahead)
                self._ahead.add(request)
                self.writers.write(
                    partial(_claim, request, ahead), partial(self._on_claimed, request)
                )

    def _most_ahead(self) -> int:
        """One for each free process, and what the others begin while a claim is made."""
        processes = self._controller.pool.num_processes
        free = self._controller.semaphore.value
        return int(min(processes, free + claims_ahead(processes, tally.average)))

    def _on_assigned(self, request: RecordedRequest) -> None:
        """There is a process for a request whose type has limits."""
        if self._stopped or not request.phase.enter(Phase.CLAIMING, unless=(Phase.RETURNED,)):
            self._controller.semaphore.release()
            return
        self.writers.write(partial(_admit_and_claim, request), partial(self._on_admitted, request))

    def _on_admitted(
        self, request: RecordedRequest, answer: Wait | Claimed | ClaimLost | Exception
    ) -> None:
        if isinstance(answer, ClaimLost):
            # Its process claims again.
            request.phase.enter(Phase.WAITING, unless=(Phase.RETURNED,))
        elif not isinstance(answer, Claimed):
            # As if it had begun: its message isn't returned while a copy of it is sent.
            request.phase.enter(Phase.BEGUN, unless=(Phase.RETURNED,))
        if isinstance(answer, Claimed | ClaimLost) and not request.returned:
            self._controller._process_task(request)  # noqa: SLF001 - the process is assigned
            return
        self._controller.semaphore.release()
        if request.returned:
            request.make_visible()
        elif isinstance(answer, Wait):
            request.postpone(answer)
        elif isinstance(answer, Exception):
            request.refuse(answer)

    def _on_claimed(
        self, request: RecordedRequest, answer: Claimed | ClaimLost | Exception
    ) -> None:
        if isinstance(answer, Exception) and not transient(answer):
            log.error("task %s can't be claimed ahead", request.id, exc_info=answer)
        if not isinstance(answer, Claimed):
            # Its process claims again. Until then it is like one that was never claimed.
            request.phase.enter(Phase.WAITING, unless=(Phase.RETURNED,))
        if request.returned:
            request.make_visible()
            self.freed(request)
        elif not self._stopped:
            self._run(request)


def _admit_and_claim(request: RecordedRequest) -> Wait | Claimed | ClaimLost:
    """Claim a request that may run now."""
    admission = request.admission
    assert admission is not None  # noqa: S101 - only those that have one get here
    wait = admission.ask()
    if wait is not None:
        return wait
    request.request_dict["admitted_until"] = admission.until
    answer = _claim(request, ahead=False)
    if isinstance(answer, Claimed) and admission.late():
        release_lease(request.id, request.owner)
        return Wait("it was claimed too late to run under its type's limits", timedelta(0))
    return answer


def _claim(request: RecordedRequest, ahead: bool) -> Claimed | ClaimLost:
    until = request.app.new_lease()
    attempt = attempt_of(request.request_dict)
    answer = services().records.claim(request.id, attempt, request.owner, until, ahead=ahead)
    if isinstance(answer, Claimed):
        request.request_dict["claimed"] = answer.record
        if not request.phase.enter(Phase.CLAIMED, unless=(Phase.RETURNED,)):
            # Returned while the claim was under way. The message becomes visible afterwards.
            release_lease(request.id, request.owner)
    return answer


def waiting() -> list[RecordedRequest]:
    """The requests that no process has confirmed to run yet."""
    while True:
        try:
            return [each for each in state.reserved_requests if not each.time_start]
        except RuntimeError:
            continue  # the event loop added one meanwhile


def beginning() -> list[RecordedRequest]:
    """The requests that a process was given and has not confirmed to run yet."""
    return [each for each in waiting() if each.phase.now is Phase.BEGUN]


class ClaimsStep(bootsteps.StartStopStep):
    """Puts the claims between the consumer and a pool of processes."""

    requires = (Tasks,)

    def __init__(self, consumer: Any, **kwargs: Any) -> None:
        super().__init__(consumer, **kwargs)
        consumer.claims = None

    def start(self, consumer: Any) -> None:
        # The threads pool writes from its own threads, side by side, already.
        if consumer.hub is not None and isinstance(consumer.pool, TaskPool):
            # A thread for each process's claim, and one for its last outcome.
            writers = Writers(consumer.hub, 2 * consumer.pool.num_processes)
            consumer.claims = Claims(consumer.controller, consumer.run, writers)

    def stop(self, consumer: Any) -> None:
        consumer.claims = None
