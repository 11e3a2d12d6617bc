"""Task records in memory: the same transitions under one lock, for tests."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from celeriac import clock, states
from celeriac.clock import Clock, Millis
from celeriac.records.items import open_key
from celeriac.records.record import WITH_ITS_WORKER, Failure, Progress, TaskRecord
from celeriac.records.store import (
    Cancellation,
    Claimed,
    ClaimLost,
    Entry,
    LeaseLostError,
    LostClaim,
    OpenTask,
    Position,
    RecordExistsError,
    check_running_state,
    is_free,
    judge,
)
from celeriac.topology import FAILURES, OPEN_SHARDS, IndexShape


class MemoryRecords:
    """Implements ``RecordStore``."""

    def __init__(self, *, shards: int = 1, clock: Clock = clock.now) -> None:
        self._records: dict[str, TaskRecord] = {}
        self.shards = shards
        self._now = clock
        self._lock = threading.RLock()

    def create(self, record: TaskRecord) -> None:
        with self._lock:
            if record.task_id in self._records:
                raise RecordExistsError(self._records[record.task_id])
            self._records[record.task_id] = record

    def get(self, task_id: str) -> TaskRecord | None:
        return self._records.get(task_id)

    def get_many(self, task_ids: Iterable[str]) -> dict[str, TaskRecord]:
        return {each: self._records[each] for each in task_ids if each in self._records}

    def discard(self, task_id: str) -> bool:
        with self._lock:
            found = self.get(task_id)
            if found and (found.state != states.PENDING or found.resent):
                return False
            self._records.pop(task_id, None)
            return True

    def forget(self, task_id: str) -> bool:
        with self._lock:
            found = self.get(task_id)
            if found is not None and not found.terminal:
                return False
            self._records.pop(task_id, None)
            return True

    def resend(
        self,
        task_id: str,
        *,
        type: str | None = None,
        queue: str | None = None,
        input: str | None = None,
    ) -> TaskRecord | None:
        with self._lock:
            found = self.get(task_id)
            now = self._now()
            if found is None:
                return None
            waits = found.state in states.WAITING and (type or not found.awaits)
            abandoned = found.running and not type and (found.lease_until or 0) <= now
            if not (waits or abandoned):
                return None
            return self._write(
                found,
                awaits=False,
                resent=found.resent + 1,
                resent_at=now,
                type=type or found.type,
                queue=queue or found.queue,
                input=input or found.input,
            )

    def claim(
        self, task_id: str, attempt: int, owner: str, until: Millis, *, ahead: bool = False
    ) -> Claimed | ClaimLost:
        with self._lock:
            found = self.get(task_id)
            losses: dict[str, Any] = {}
            waiting = found and found.state in states.WAITING and not found.awaits
            if not (found and waiting and found.attempt == attempt):
                judgement = judge(found, attempt, owner, self._now())
                if isinstance(judgement, ClaimLost) and judgement.why is LostClaim.CANCELLED:
                    ended = self._write(
                        self._records[task_id], state=states.REVOKED, finished_at=self._now()
                    )
                    return ClaimLost(LostClaim.CANCELLED, ended)
                if judgement is not None:
                    return judgement
                found = self._records[task_id]
                if found.lease_owner and not found.ahead:
                    losses = {"lost": found.lost + 1, "loss": WITH_ITS_WORKER}
            return Claimed(
                self._write(
                    found,
                    state=states.STARTED,
                    lease_owner=owner,
                    lease_until=until,
                    started_at=self._now(),
                    ahead=ahead,
                    progress=None,
                    meta=None,
                    due_at=None,
                    failure=None,
                    resent_at=None,
                    **losses,
                )
            )

    def renew(self, task_id: str, owner: str, until: Millis) -> TaskRecord:
        with self._lock:
            return self._write(self._held(task_id, owner), lease_until=until)

    def report(
        self,
        task_id: str,
        owner: str,
        state: str,
        *,
        progress: Progress | None = None,
        meta: str | None = None,
    ) -> TaskRecord:
        check_running_state(state)
        with self._lock:
            found = self._held(task_id, owner)
            return self._write(
                found, state=state, progress=progress or found.progress, meta=meta or found.meta
            )

    def retry(
        self,
        task_id: str,
        owner: str,
        due_at: Millis,
        failure: Failure,
        *,
        input: str | None = None,
        expires_at: int | None = None,
        limited: bool = False,
    ) -> TaskRecord:
        with self._lock:
            for state in (states.RETRY, states.REVOKED):
                if written := self._written(task_id, owner, state):
                    return written
            found = self._held(task_id, owner)
            if found.cancel_requested_at is not None:
                return self.finish(task_id, owner, states.REVOKED)
            return self._write(
                found,
                state=states.RETRY,
                attempt=found.attempt + 1,
                limited=found.limited + limited,
                due_at=due_at,
                failure=failure,
                input=input or found.input,
                expires_at=expires_at or found.expires_at,
                lease_until=None,
                progress=None,
                meta=None,
            )

    def release(self, task_id: str, owner: str, *, crash: str | None = None) -> TaskRecord:
        with self._lock:
            found = self.get(task_id)
            if found is None or not is_free(found):
                found = self._held(task_id, owner)
                found = self._write(
                    found,
                    lease_owner=None,
                    lease_until=0,
                    ahead=False,
                    crashes=found.crashes + bool(crash),
                    loss=crash or found.loss,
                )
            return found

    def hand_on(self, task_id: str, owner: str) -> TaskRecord:
        with self._lock:
            if written := self._written(task_id, owner, states.PENDING):
                return written
            found = self._held(task_id, owner)
            return self._write(
                found,
                state=states.PENDING,
                attempt=found.attempt + 1,
                first_attempt=found.attempt + 1,
                limited=0,
                lease_until=None,
                progress=None,
                meta=None,
            )

    def await_canvas(self, handed_on: TaskRecord) -> TaskRecord | None:
        with self._lock:
            found = self.get(handed_on.task_id)
            if found and (found.version, found.awaits) == (handed_on.version + 1, True):
                return found
            if found is None or found.version != handed_on.version:
                return None
            if found.state not in states.WAITING:
                return None
            return self._write(found, awaits=True)

    def finish(
        self,
        task_id: str,
        owner: str | None,
        state: str,
        *,
        result: str | None = None,
        failure: Failure | None = None,
        children: str | None = None,
    ) -> TaskRecord:
        with self._lock:
            if owner is not None:
                if written := self._written(task_id, owner, state):
                    return written
                found = self._held(task_id, owner)
            else:
                waiting = self.get(task_id)
                if waiting and (waiting.state, waiting.finished_at) == (state, self._now()):
                    return waiting
                if waiting is None or waiting.state not in states.WAITING:
                    raise LeaseLostError(task_id, "nobody", waiting)
                found = waiting
            return self._write(
                found,
                state=state,
                finished_at=self._now(),
                result=result,
                failure=failure,
                children=children,
                lease_until=None,
                due_at=None,
                meta=None,
                ahead=False,
            )

    def keep(self, task_id: str, expires_at: int, *, ended: bool = False) -> TaskRecord | None:
        with self._lock:
            found = self.get(task_id)
            if found is None or (found.terminal and not ended):
                return None
            kept = replace(found, expires_at=max(found.expires_at, expires_at))
            self._records[task_id] = kept
            return kept

    def cancel(self, task_id: str) -> tuple[Cancellation, TaskRecord] | None:
        with self._lock:
            found = self.get(task_id)
            if found is None:
                return None
            if (found.state, found.finished_at) == (states.REVOKED, self._now()):
                return Cancellation.ENDED, found
            if found.terminal:
                return Cancellation.OVER, found
            if found.state in states.WAITING:
                return Cancellation.ENDED, self._write(
                    found,
                    state=states.REVOKED,
                    finished_at=self._now(),
                    due_at=None,
                    failure=None,
                )
            since = found.cancel_requested_at or self._now()
            return Cancellation.STOPPING, self._write(found, cancel_requested_at=since)

    def note_mail_events(self, task_id: str) -> TaskRecord | None:
        with self._lock:
            found = self.get(task_id)
            return self._write(found, mail_events=True) if found else None

    def newest(self, index: IndexShape, position: Position, limit: int) -> list[Entry]:
        records = sorted(self._records.values(), key=lambda record: record.listing_key)
        return [
            Entry(record.listing_key, record.task_id, record.type, record.tags)
            for record in reversed(records)
            if record.tenant == position.tenant
            and record.shard(self.shards) == position.shard
            and (index is not FAILURES or record.state == states.FAILURE)
            and (position.below is None or record.listing_key < position.below)
            and (position.created_after is None or record.created_at > position.created_after)
        ][:limit]

    def count_unfinished(self, tenant: str) -> int:
        return sum(
            1 for each in self._records.values() if each.tenant == tenant and not each.terminal
        )

    def unfinished(self) -> Iterator[OpenTask]:
        unfinished = (record for record in self._records.values() if not record.terminal)
        for record in sorted(
            unfinished, key=lambda record: (record.shard(OPEN_SHARDS), open_key(record))
        ):
            yield OpenTask(record.task_id, record.created_at)

    def _written(self, task_id: str, owner: str, state: str) -> TaskRecord | None:
        """The record, if this very write has been made before."""
        found = self.get(task_id)
        return found if found and (found.lease_owner, found.state) == (owner, state) else None

    def _held(self, task_id: str, owner: str) -> TaskRecord:
        found = self.get(task_id)
        if found is None or not found.running or found.lease_owner != owner:
            raise LeaseLostError(task_id, owner, found)
        return found

    def _write(self, record: TaskRecord, **changes: Any) -> TaskRecord:
        written = replace(record, version=record.version + 1, **changes)
        self._records[record.task_id] = written
        return written
