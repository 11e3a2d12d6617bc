"""Unfinished tasks are kept for longer than ``record_ttl``, however long they wait or run.

    record_ttl           ├──────────────────┤
    until then, at first ●─────────────────►│
    kept for longer          ●─────────────────►
                                 ●─────────────────►
    the task             waits · · · · · · · · · runs · ends

DynamoDB and S3 delete by time, and know nothing of a task that is paused, limited, running, or in a
backlog. So the hourly repair gives it more time until it ends.
"""

from __future__ import annotations

import logging

from celeriac import clock, states
from celeriac.app.canvas import member_ids
from celeriac.app.factory import CeleriacApp
from celeriac.records import TaskRecord
from celeriac.storage.services import services
from celeriac.storage.values import ValueMissingError

log = logging.getLogger(__name__)

#: A task is kept for longer once this part of ``record_ttl`` has gone. Repairs may fail for the
#: rest of it, and a task costs a few writes in that time rather than one an hour.
WORN = 1 / 5


class Keeping:
    """What one repair keeps. The members of a group are looked for once."""

    def __init__(self, app: CeleriacApp) -> None:
        self._app = app
        self._record_ttl = clock.millis(app.settings.record_ttl)
        self._groups: set[str] = set()
        #: Records that were written since then last for long enough.
        self.worn_before = clock.now() - int(self._record_ttl * WORN)

    def keep(self, record: TaskRecord) -> bool:
        """Keep an unfinished task for ``record_ttl`` from now, if it needs that; whether it did.

        The input comes first: a task can't run whose input is gone, and its record expires too.

            repair 1   input ✓ ── (dies)
            repair 2                      input ✓ ── record ✓

        Raises:
            ValueMissingError: the input is gone, and the task needs it to begin.
            botocore.exceptions.BotoCoreError: AWS can't be reached.
            botocore.exceptions.ClientError: it refused.
        """
        if record.terminal or record.expires_at * 1000 >= self.worn_before + self._record_ttl:
            return False
        expires_at = (clock.now() + self._record_ttl) // 1000
        try:
            services().values.renew(record.tenant, record.task_id, record.input, expires_at)
        except ValueMissingError:
            # One that has begun has read it. One that awaits its canvas gets another.
            if record.state in states.WAITING and not record.awaits:
                raise
        if services().records.keep(record.task_id, expires_at) is None:
            return False
        if record.group_id is not None and record.group_id not in self._groups:
            self._groups.add(record.group_id)
            self._keep_ended(record.group_id, expires_at)
        return True

    def _keep_ended(self, group_id: str, expires_at: int) -> None:
        """Keep what the ended members of a chord gave: its body gets that once all have ended."""
        header = self._app.backend.restore_group(group_id, cache=False)
        if header is None:
            return
        for each in services().records.get_many(member_ids(header)).values():
            if not each.terminal:
                continue
            try:
                if each.result is not None:
                    services().values.renew(each.tenant, each.task_id, each.result, expires_at)
            except ValueMissingError as error:
                log.warning("a chord waits for task %s: %s", each.task_id, error)
                continue
            services().records.keep(each.task_id, expires_at, ended=True)
