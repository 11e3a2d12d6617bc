"""Whether the message of a task that nobody has begun is lost. SQS can't be asked for a message.

What is known of the others tells, mostly:

    its queue's lane holds nothing                          lost
    its queue or its type is paused                         waits
    a worker holds it                                       waits
    a later message of its tenant has been received         lost
    anything else                                           waits, and counts as lost after a day

SQS delivers the messages of one tenant in about the order of their sending. The message of a task
that waits for a limit, or a paused type, is replaced by younger copies: their order says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import cached_property

from celeriac import clock
from celeriac.app.sending import CeleriacApp
from celeriac.app.typed_task import limits_of, type_name_of
from celeriac.clock import Millis
from celeriac.contract.queues import HIGH
from celeriac.operations.queues import counts_of, queue_named
from celeriac.records import TaskRecord
from celeriac.storage.pauses import Paused
from celeriac.storage.services import services

#: A message counts as lost after so long, if nothing tells. So a task that waits for longer, under
#: a limit or in a lane that never empties, costs one message a day in addition.
PATIENCE = timedelta(days=1)


class LostMessages:
    """What one repair knows of the messages there are. Each thing is asked for once.

    A message that was received although it was sent ``grace`` later is no matter of order.
    """

    def __init__(self, app: CeleriacApp, grace: timedelta) -> None:
        self._app = app
        self._grace = clock.millis(grace)
        self._now = clock.now()
        self._lanes: dict[tuple[str, bool], bool] = {}

    def lost(self, record: TaskRecord, since: Millis) -> bool:
        """Whether a task has no message, which could have been received ``since`` then.

        Raises:
            QueueNotFoundError: the task's queue is gone.
            botocore.exceptions.BotoCoreError: AWS can't be reached.
            botocore.exceptions.ClientError: it refused.
        """
        if not self._holds_messages(record):
            return True
        since = max(since, record.resent_at or 0)
        task = self._app.tasks.get(record.type)
        type_name = record.type if task is None else type_name_of(task)
        if self._paused.of("queue", record.queue) or self._paused.of("type", type_name):
            return False
        if record.task_id in self._held:
            return False
        since = max(since, self._paused.resumed.get(type_name, 0))
        limited = task is None or bool(limits_of(task))
        if not limited and self._received.get(_line(record), 0) >= since + self._grace:
            return True
        return since + clock.millis(PATIENCE) <= self._now

    def _holds_messages(self, record: TaskRecord) -> bool:
        """Whether the lane of a task has messages: visible, in flight or delayed ones."""
        lane = record.queue, record.priority == HIGH
        if lane not in self._lanes:
            queue = queue_named(record.queue, self._app.catalogue.queues)
            normal, high = self._app.settings.lane_urls(queue)
            self._lanes[lane] = any(counts_of(high if record.priority == HIGH else normal))
        return self._lanes[lane]

    @cached_property
    def _paused(self) -> Paused:
        return services().pauses.all()

    @cached_property
    def _held(self) -> Mapping[str, TaskRecord]:
        """The tasks that live workers run, or hold ahead, by their heartbeats."""
        task_ids: list[str] = []
        for worker in services().workers.list():
            task_ids += (each.task_id for each in worker.active)
            task_ids += (each.task_id for each in worker.reserved)
        return services().records.get_many(task_ids)

    @cached_property
    def _received(self) -> Mapping[tuple[str, bool, str], Millis]:
        """The creation of the latest task that workers hold, by lane and tenant.

        Its message was sent then, or later.
        """
        latest: dict[tuple[str, bool, str], Millis] = {}
        for each in self._held.values():
            latest[_line(each)] = max(latest.get(_line(each), 0), each.created_at)
        return latest


def _line(record: TaskRecord) -> tuple[str, bool, str]:
    """What SQS keeps about in order: the messages of a tenant in one lane."""
    return record.queue, record.priority == HIGH, record.tenant
