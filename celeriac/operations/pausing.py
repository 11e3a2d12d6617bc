"""Pause a queue or a task type, and resume it. Workers obey within ten seconds.

Tasks are accepted as usual meanwhile, and wait. Tasks that run go on.
"""

from __future__ import annotations

from celeriac.contract import Queue
from celeriac.contract.catalogue import AnyTaskType
from celeriac.operations import waking
from celeriac.storage.pauses import Kind, Pause, Paused, new_pause
from celeriac.storage.services import services

#: A reason is for people to read; the item is read by all workers, every few seconds.
LONGEST_REASON = 200


def pause(what: Queue | AnyTaskType, *, by: str | None = None, reason: str | None = None) -> Pause:
    """Have workers begin no more tasks of a queue, or of a task type.

    Doing it again changes nothing: the first pause is the answer.

    Args:
        what: the queue, or the task type.
        by: a name for others to read.
        reason: up to 200 characters.

    Raises:
        botocore.exceptions.BotoCoreError: AWS can't be reached.
        botocore.exceptions.ClientError: it refused.
    """
    shortened = reason[:LONGEST_REASON] if reason else None
    return services().pauses.pause(new_pause(_kind(what), what.name, by=by, reason=shortened))


def resume(what: Queue | AnyTaskType) -> None:
    """Have workers begin its tasks again. Raises as ``pause`` does.

    A queue's workers begin within ten seconds. A type's tasks wait in SQS, and are asked for again
    within a minute.
    """
    services().pauses.resume(_kind(what), what.name)
    waking.wake_resumed(what.name if isinstance(what, Queue) else what.queue.name)


def paused() -> Paused:
    """What is paused. One query. Raises as ``pause`` does."""
    return services().pauses.all()


def _kind(what: Queue | AnyTaskType) -> Kind:
    return "queue" if isinstance(what, Queue) else "type"
