"""What a request does before its claim, and after its end, if its task type has limits."""

from __future__ import annotations

import logging
from abc import abstractmethod
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError
from celery.exceptions import Reject
from celery.worker.request import Request
from celery.worker.state import task_ready

from celeriac.app.release import Wait, returning_message
from celeriac.clock import Millis
from celeriac.worker.admission import Admission

if TYPE_CHECKING:
    from celeriac.worker.claims import Claims

log = logging.getLogger(__name__)


class LimitedRequest(Request):
    """Asks whether it may run, waits in SQS if it may not, and lets others run after it."""

    #: Who has it claimed ahead; None in a pool whose threads claim for themselves.
    claims: Claims | None = None
    #: What it has to pass before its claim; None for most.
    admission: Admission | None
    #: When a process or thread began with it, by the monotonic clock.
    begun_at: float | None = None

    @property
    @abstractmethod
    def tag(self) -> str:
        """The delivery tag of its message."""

    @property
    @abstractmethod
    def channel(self) -> Any:
        """The channel that its message came from."""

    @abstractmethod
    def _returning(self) -> AbstractContextManager[None]:
        """Return the message if anything fails inside."""

    def admit(self) -> Millis:
        """Ask whether it may run, in the thread that is to run it; until when it may be claimed.

        Raises:
            Reject: it may not, or that can't be told now.
        """
        assert self.admission is not None  # noqa: S101 - only those that have one get here
        with returning_message():
            wait = self.admission.ask()
        if wait is not None:
            raise Reject(wait, requeue=True)
        return self.admission.until

    def postpone(self, wait: Wait) -> None:
        """Replace the message by a copy that arrives later; from any thread.

        Its record stays as it is. If the copy can't be sent, the message returns after a moment.
        """
        # It hasn't run, though a thread may have begun with it.
        self.begun_at = None
        log.info("task %s waits for %d s: %s", self.id, wait.seconds, wait)
        send = partial(self.channel.send_copy, self.tag, wait.seconds, wait.header())
        if self.claims is not None:
            self.claims.writers.write(send, self._on_postponed)
            return
        with self._returning(), returning_message():
            send()
            self._on_postponed(None)

    def refuse(self, error: Exception) -> None:
        """Return the message after a moment: whether it may run can't be told now."""
        with self._returning(), returning_message():
            raise error

    def leave_limits(self) -> None:
        """Let others run in its place: the attempt has ended, or was never begun."""
        if self.admission is None or not self.admission.holds:
            return
        if self.claims is not None:
            self.claims.writers.write(self.admission.leave, self._on_left)
            return
        try:
            self.admission.leave()
        except (ClientError, BotoCoreError) as error:
            self._on_left(error)

    def _waits(self, error: object) -> bool:
        """Whether a thread has found that it may not run now."""
        match error:
            case Reject(reason=Wait() as wait):
                self.postpone(wait)
                return True
        return False

    def _on_postponed(self, answer: Exception | None) -> None:
        if answer is not None:
            self.refuse(answer)
            return
        with self._returning():
            task_ready(self)
            self.acknowledge()

    def _on_left(self, answer: Exception | None) -> None:
        if answer is not None:
            log.warning("task %s frees no slot, and is evicted later: %s", self.id, answer)
