"""/queues: how full they are, their dead letters; purge and redrive."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal

from fastapi import Depends, Query
from pydantic import BaseModel, Field

from celeriac import clock
from celeriac.contract import Queue
from celeriac.errors import unavailable
from celeriac.http.auth import Administrator, Caller, Reader
from celeriac.http.dependencies import TheDependencies
from celeriac.http.links import at
from celeriac.http.pause_views import PauseOptions, PauseView, pause_link, pause_view, shown
from celeriac.http.problems import KEYED, Problem, ProblemType, documented
from celeriac.http.route import keyed_router
from celeriac.http.views import ErrorView
from celeriac.operations import dead_letters, pausing, queues
from celeriac.operations.dead_letters import DeadLetter, Fate
from celeriac.operations.queues import QueueNotFoundError, QueueStatus, queue_named
from celeriac.operations.waking import wake
from celeriac.storage.keys import Scope
from celeriac.storage.pauses import Paused

router = keyed_router("queues")

#: An HTTP API of API Gateway gives up after 30 s; a batch under way takes its time to end.
LONGEST_WORK = timedelta(seconds=15)

_ONE = (*KEYED, ProblemType.NOT_FOUND, ProblemType.INVALID)


class QueueView(BaseModel):
    """How many messages a queue holds. SQS's counts are approximate."""

    name: str
    waiting: int = Field(description="Messages that a worker can receive now.")
    high: int = Field(description="How many of these are of priority `high`.")
    in_flight: int = Field(description="Messages that workers hold.")
    delayed: int = Field(
        description="Messages due within 15 minutes. Later ones are schedules, not counted."
    )
    oldest_age_seconds: float | None = Field(
        description="How long the oldest message has been in the queue, as CloudWatch said last, "
        "some minutes ago. Null where it is empty, or CloudWatch doesn't know."
    )
    dead_letters: int = Field(description="Messages in its dead-letter queue.")
    paused: PauseView | None = Field(description="Null unless it is paused.")
    links: dict[str, str] = Field(
        description="`self`, and by POST `redrive`, `purge`, and `pause` or `resume`."
    )


class QueuePage(BaseModel):
    """All queues."""

    data: list[QueueView]
    next_cursor: None = Field(None, description="Always null: there is one page.")


class DeadLetterView(BaseModel):
    """A message that was set aside."""

    message_id: str = Field(description="The id that SQS gave it.")
    sent_at: datetime
    task_id: str | None = Field(description="Null where the message can't be decoded.")
    type: str | None
    why: ErrorView = Field(description="What brought it here.")
    redrive: Literal["new-task", "send-again", "remove", "stay"] = Field(
        description="What a redrive would do with it: submit a new task like it; send its message "
        "again, since its task still waits; remove it, since its task has ended; nothing."
    )
    obstacle: str | None = Field(description="What is in the way, where it would stay.")


class QueueDetail(QueueView):
    """A queue, and up to ten of its dead letters."""

    dead_letter_sample: list[DeadLetterView] = Field(
        description="Of the key's tenant only, unless the key has the scope `admin`."
    )


class RedriveView(BaseModel):
    """What a redrive did."""

    new_tasks: dict[str, str] = Field(description="The new tasks' ids by those of the old ones.")
    sent_again: list[str] = Field(description="Tasks whose message went back to the queue.")
    removed: int = Field(description="Messages whose tasks had ended.")
    stay: list[DeadLetterView] = Field(description="What still couldn't run.")
    finished: bool = Field(description="False if time ran out: POST again for the rest.")


class PurgeView(BaseModel):
    """What a purge did."""

    removed: int = Field(description="How many messages are gone.")
    revoked: list[str] = Field(description="The tasks that ended as REVOKED.")
    finished: bool = Field(description="False if time ran out: POST again for the rest.")


class PurgeOptions(BaseModel):
    """What to purge."""

    dead_letters: bool = Field(False, description="Empty the dead-letter queue instead.")


async def _known_queue(name: str, dependencies: TheDependencies) -> Queue:
    try:
        return queue_named(name[:100], dependencies.catalogue.queues)
    except QueueNotFoundError as error:
        raise Problem(ProblemType.NOT_FOUND, str(error)) from None


KnownQueue = Annotated[Queue, Depends(_known_queue)]


@router.get(
    "/queues",
    operation_id="list-queues",
    summary="List the queues",
    responses={200: {"description": "All queues."}, **documented(*KEYED)},
)
def list_queues(_: Reader, dependencies: TheDependencies) -> QueuePage:
    """How full each queue is, with the tasks of all tenants."""
    with unavailable("SQS, CloudWatch or DynamoDB"):
        found = queues.status(dependencies.catalogue.queues)
        paused = pausing.paused()
    return QueuePage(data=[QueueView(**_fields(each, paused)) for each in found])


@router.get(
    "/queues/{name}",
    operation_id="get-queue",
    summary="Look at a queue and its dead letters",
    responses={200: {"description": "The queue."}, **documented(*_ONE)},
)
def get_queue(queue: KnownQueue, caller: Reader, dependencies: TheDependencies) -> QueueDetail:
    """How full the queue is, and up to ten of its dead letters, which stay where they are."""
    with unavailable("SQS, CloudWatch or DynamoDB"):
        [found] = queues.status([queue])
        paused = pausing.paused()
        letters = dead_letters.look(queue, app=dependencies.celery) if found.dead_letters else []
    return QueueDetail(
        **_fields(found, paused),
        dead_letter_sample=[_letter(each) for each in letters if _may_see(caller, each)],
    )


@router.post(
    "/queues/{name}/redrive",
    operation_id="redrive-queue",
    summary="Run a queue's dead letters after all",
    responses={200: {"description": "What was done."}, **documented(*_ONE)},
)
def redrive_queue(
    queue: KnownQueue, _: Administrator, dependencies: TheDependencies
) -> RedriveView:
    """Submit a new task for each dead letter; what still couldn't run stays, and is named."""
    with unavailable("SQS, S3 or DynamoDB"):
        done = dead_letters.redrive(queue, within=LONGEST_WORK, app=dependencies.celery)
    if done.new_tasks or done.sent_again:
        wake(queue.name)
    return RedriveView(
        new_tasks=done.new_tasks,
        sent_again=done.sent_again,
        removed=done.removed,
        stay=[_letter(each) for each in done.stay],
        finished=done.finished,
    )


@router.post(
    "/queues/{name}/purge",
    operation_id="purge-queue",
    summary="Empty a queue",
    responses={200: {"description": "What was done."}, **documented(*_ONE)},
)
def purge_queue(
    queue: KnownQueue,
    _: Administrator,
    dependencies: TheDependencies,
    options: Annotated[PurgeOptions, Query()],
) -> PurgeView:
    """Remove the waiting messages of all tenants. Their tasks end as REVOKED; delayed ones stay."""
    with unavailable("SQS or DynamoDB"):
        done = queues.purge(
            queue, dead_letters=options.dead_letters, within=LONGEST_WORK, app=dependencies.celery
        )
    return PurgeView(removed=done.removed, revoked=done.revoked, finished=done.finished)


@router.post(
    "/queues/{name}/pause",
    operation_id="pause-queue",
    summary="Pause a queue",
    responses={200: {"description": "It is paused."}, **documented(*_ONE)},
)
def pause_queue(
    queue: KnownQueue, caller: Administrator, options: Annotated[PauseOptions, Query()]
) -> PauseView:
    """Have workers begin none of its tasks, of all tenants, within 10 s. Running ones go on."""
    with unavailable("DynamoDB"):
        return shown(pausing.pause(queue, by=caller.id, reason=options.reason))


@router.post(
    "/queues/{name}/resume",
    operation_id="resume-queue",
    status_code=204,
    summary="Resume a queue",
    responses={204: {"description": "It isn't paused."}, **documented(*_ONE)},
)
def resume_queue(queue: KnownQueue, _: Administrator) -> None:
    """Have workers begin its tasks again, within 10 s."""
    with unavailable("DynamoDB"):
        pausing.resume(queue)


def _fields(status: QueueStatus, paused: Paused) -> dict[str, object]:
    name = status.queue.name
    pause = paused.of("queue", name)
    here = at(f"/queues/{name}")
    age = status.oldest_age
    return {
        "name": name,
        "waiting": status.waiting,
        "high": status.high,
        "in_flight": status.in_flight,
        "delayed": status.delayed,
        "oldest_age_seconds": None if age is None else age.total_seconds(),
        "dead_letters": status.dead_letters,
        "paused": pause_view(pause),
        "links": {
            "self": here,
            "redrive": f"{here}/redrive",
            "purge": f"{here}/purge",
            **pause_link(here, pause),
        },
    }


def _may_see(caller: Caller, letter: DeadLetter) -> bool:
    return caller.allows(Scope.ADMIN) or letter.tenant == caller.tenant


def _letter(letter: DeadLetter) -> DeadLetterView:
    fate: Fate = letter.fate
    return DeadLetterView(
        message_id=letter.message_id,
        sent_at=clock.to_datetime(letter.sent_at),
        task_id=letter.task_id,
        type=letter.type,
        why=ErrorView(type=letter.why.type, message=letter.why.message),
        redrive=fate.value,
        obstacle=letter.obstacle,
    )
