"""Task records: the row of each task, and the conditional writes that move it along."""

from celeriac.records.dynamodb import DynamoRecords
from celeriac.records.listing import Filter, Page, list_tasks
from celeriac.records.record import Failure, Progress, TaskRecord
from celeriac.records.store import (
    Cancellation,
    Claimed,
    ClaimLost,
    LeaseLostError,
    LostClaim,
    NotRunningStateError,
    OpenTask,
    RecordExistsError,
    RecordStore,
)

__all__ = [
    "Cancellation",
    "ClaimLost",
    "Claimed",
    "DynamoRecords",
    "Failure",
    "Filter",
    "LeaseLostError",
    "LostClaim",
    "NotRunningStateError",
    "OpenTask",
    "Page",
    "Progress",
    "RecordExistsError",
    "RecordStore",
    "TaskRecord",
    "list_tasks",
]
