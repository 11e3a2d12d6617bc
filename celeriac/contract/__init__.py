"""The words that a task file uses.

    from celeriac.contract import BaseModel, PermanentError, Queue, Retry, TaskContext, task

Nothing here imports more than the standard library and pydantic. The API loads every task file
for its models, so its cold start pays for each import.
"""

from pydantic import Field

from celeriac.contract.catalogue import Catalogue, catalogue
from celeriac.contract.context import Artifact, TaskContext
from celeriac.contract.declaring import task
from celeriac.contract.errors import (
    Cancelled,
    DeclarationError,
    PermanentError,
    RateLimited,
    RetryLater,
    UnknownTaskTypeError,
)
from celeriac.contract.fleets import Fleet
from celeriac.contract.limits import Debounce, Limit, Unique
from celeriac.contract.model import BaseModel
from celeriac.contract.queues import DEFAULT, Queue
from celeriac.contract.retry import Retry
from celeriac.contract.schedule import Schedule
from celeriac.contract.task_type import TaskType

__all__ = [
    "DEFAULT",
    "Artifact",
    "BaseModel",
    "Cancelled",
    "Catalogue",
    "Debounce",
    "DeclarationError",
    "Field",
    "Fleet",
    "Limit",
    "PermanentError",
    "Queue",
    "RateLimited",
    "Retry",
    "RetryLater",
    "Schedule",
    "TaskContext",
    "TaskType",
    "Unique",
    "UnknownTaskTypeError",
    "catalogue",
    "task",
]
