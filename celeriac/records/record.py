"""What is known of one task. Kept under 1 KiB, so that each transition is one write unit."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from celeriac import states
from celeriac.clock import Millis

# Longer texts are cut, in bytes of UTF-8: DynamoDB bills the whole item at every write. Together
# with ``values.INLINE_LIMIT`` these keep a record of usual names within one KiB.
LONGEST_PROGRESS = 80
LONGEST_MESSAGE = 160
LONGEST_TYPE = 80

#: How an attempt ended whose whole worker was lost: nobody was there to see more.
WITH_ITS_WORKER = "its worker was lost"


def cut(text: str, limit: int) -> str:
    """The beginning of a text, at most ``limit`` bytes of it, in characters that UTF-8 has."""
    return text.encode(errors="replace")[:limit].decode(errors="ignore")


def text_of(error: BaseException) -> str:
    """The message of an exception, whose ``__str__`` may be the user's own and raise."""
    try:
        return str(error)
    except Exception as fault:  # noqa: BLE001 - whatever it raises
        return f"The text of this {type(error).__name__} can't be made: {type(fault).__name__}."


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a running task is, in units of its own."""

    current: int
    total: int
    message: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", cut(self.message, LONGEST_PROGRESS))


@dataclass(frozen=True, kw_only=True)
class Failure:
    """How an attempt failed. ``type`` is stable and made for programs to compare."""

    type: str
    message: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "type", cut(self.type, LONGEST_TYPE))
        object.__setattr__(self, "message", cut(self.message, LONGEST_MESSAGE))

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """The failure that an exception stands for."""
        # Both are the author's own code, which may fail.
        try:
            type_ = getattr(error, "type", None)
        except Exception:  # noqa: BLE001
            type_ = None
        return cls(
            type=type_ if isinstance(type_, str) else type(error).__name__,
            message=text_of(error),
        )


@dataclass(frozen=True, kw_only=True)
class TaskRecord:
    """The row of one task. Times are milliseconds since 1970 (UTC) unless said otherwise.

    ``input``, ``result`` and ``children`` are references, which ``celeriac.storage.values`` makes.
    """

    task_id: str
    type: str
    tenant: str
    queue: str
    created_at: Millis
    #: In seconds, as DynamoDB's time-to-live wants it.
    expires_at: int
    input: str
    state: str = states.PENDING
    attempt: int = 1
    #: The attempt it began with: a later one if it replaces another task under its id.
    first_attempt: int = 1
    #: Replaced by a canvas that has been sent, and that will send its last part under this id.
    awaits: bool = False
    #: Changes with every transition: the record's entity tag.
    version: int = 1
    tags: tuple[str, ...] = ()
    #: ``high`` if its messages take the queue's lane of urgent tasks; None if they don't.
    priority: str | None = None
    #: A digest of the request that an idempotency key stands for.
    fingerprint: str | None = None
    #: How often a repeated idempotency key, or the repair, had the message sent again; when last.
    resent: int = 0
    resent_at: Millis | None = None
    retry_of: str | None = None
    #: The schedule that fired it.
    schedule_id: str | None = None
    parent_id: str | None = None
    group_id: str | None = None
    #: Who holds the task, until when. One owner is one delivery of the message to one worker.
    lease_owner: str | None = None
    lease_until: Millis | None = None
    #: Claimed before a process was free to begin: a worker lost then may not have begun.
    ahead: bool = False
    #: How many of its processes died, and how many whole workers were lost, while they were at it.
    crashes: int = 0
    lost: int = 0
    #: How the latest of these ended.
    loss: str | None = None
    #: How many of its attempts a service refused, which don't count.
    limited: int = 0
    #: When a delayed first attempt, or the next one, may start.
    due_at: Millis | None = None
    started_at: Millis | None = None
    finished_at: Millis | None = None
    cancel_requested_at: Millis | None = None
    progress: Progress | None = None
    #: What plain Celery code gave ``update_state(meta=…)``.
    meta: str | None = None
    result: str | None = None
    failure: Failure | None = None
    children: str | None = None
    #: SES has said something of its mail, which ``celeriac.storage.mail_events`` keeps.
    mail_events: bool = False

    @property
    def terminal(self) -> bool:
        return self.state in states.TERMINAL

    @property
    def running(self) -> bool:
        """Claimed and not ended. Plain Celery code may name states of its own while it runs."""
        return self.state not in states.TERMINAL | states.WAITING

    @property
    def attempts(self) -> int:
        """The number of this attempt, those counted that ended with their process or worker."""
        return self.attempt + self.crashes + self.lost

    @property
    def retries(self) -> int:
        """How often it has been tried before, as Celery counts."""
        return self.attempt - self.first_attempt

    @property
    def counted(self) -> int:
        """How many of these count, for the policy that says how many there may be."""
        return self.retries - self.limited

    @property
    def listing_key(self) -> str:
        """Sorts by creation; the id keeps tasks of one millisecond apart."""
        return f"{self.created_at:013d}#{self.task_id}"

    def shard(self, shards: int) -> int:
        """Which of the tenant's listing partitions the task is in: always the same one."""
        digest = hashlib.blake2s(self.task_id.encode(), digest_size=4).digest()
        return int.from_bytes(digest) % shards
