"""The words a task file is written in.

    from tasks.contract import BaseModel, PermanentError, Queue, Retry, TaskContext, task

Nothing here imports more than the standard library and pydantic: the API loads every task file
to learn its models, and its cold start pays for each import.
"""

from pydantic import BaseModel, Field

from tasks.contract.catalogue import Catalogue, catalogue
from tasks.contract.context import Artifact, TaskContext
from tasks.contract.errors import (
    Cancelled,
    DeclarationError,
    PermanentError,
    RetryLater,
    UnknownTaskTypeError,
)
from tasks.contract.queues import Queue
from tasks.contract.retry import Retry
from tasks.contract.task_type import TaskType, task

__all__ = [
    "Artifact",
    "BaseModel",
    "Cancelled",
    "Catalogue",
    "DeclarationError",
    "Field",
    "PermanentError",
    "Queue",
    "Retry",
    "RetryLater",
    "TaskContext",
    "TaskType",
    "UnknownTaskTypeError",
    "catalogue",
    "task",
]
