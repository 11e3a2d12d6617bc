"""``@task``: turn a function into a task type, or say at import what is wrong with it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any, Generic, TypeVar, get_type_hints

from pydantic import BaseModel

from tasks.contract.context import TaskContext
from tasks.contract.errors import DeclarationError
from tasks.contract.queues import Queue
from tasks.contract.retry import Retry

P = TypeVar("P", bound=BaseModel)
R = TypeVar("R", bound=BaseModel)

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")

# SQS keeps a message hidden for at most 12 hours after it was received, however often its
# visibility is renewed; an hour is left for starting, stopping and renewal.
# docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibility.html
LONGEST_TIME_LIMIT = timedelta(hours=11)


@dataclass(frozen=True, kw_only=True)
class TaskType(Generic[P, R]):
    """The declared recipe of one kind of task; still callable as the plain function it wraps.

    ``time_limit`` ends an attempt with an exception inside the task (Celery's soft limit);
    ``hard_time_limit``, ``kill_after`` later, kills the process of a task that ignored it.
    """

    name: str
    function: Callable[[P, TaskContext], R]
    payload_model: type[P]
    result_model: type[R]
    queue: Queue
    time_limit: timedelta
    retry: Retry
    aliases: tuple[str, ...] = ()
    kill_after: timedelta = timedelta(seconds=10)

    def __call__(self, payload: P, context: TaskContext) -> R:
        return self.function(payload, context)

    @property
    def names(self) -> tuple[str, ...]:
        """The name, then the names it used to have: SQS may hold their messages for 14 days."""
        return (self.name, *self.aliases)

    @property
    def hard_time_limit(self) -> timedelta:
        return self.time_limit + self.kill_after

    @cached_property
    def summary(self) -> str:
        """The first line of the function's docstring."""
        return self.description.partition("\n")[0]

    @cached_property
    def description(self) -> str:
        """The function's docstring."""
        return inspect.getdoc(self.function) or ""


def task(
    *,
    queue: Queue,
    time_limit: timedelta,
    retry: Retry | None = None,
    name: str | None = None,
    aliases: tuple[str, ...] = (),
) -> Callable[[Callable[[P, TaskContext], R]], TaskType[P, R]]:
    """Declare a task type.

        @task(queue=Queue.FILES, time_limit=timedelta(minutes=2), retry=Retry(attempts=3))
        def process_file(payload: ProcessFile, context: TaskContext) -> ProcessedFile:
            '''Compress, convert, inspect or validate an uploaded file.'''

    The type's name is the function's, with dashes (``process-file``), unless ``name`` gives
    another. ``aliases`` are names it had before.

    Raises:
        DeclarationError: while the module is imported, naming the fault and the fix.
    """

    def declare(function: Callable[[P, TaskContext], R]) -> TaskType[P, R]:
        where = f"Task {function.__module__}.{function.__qualname__}"
        _check_options(where, queue, time_limit, retry, aliases)
        payload_model, result_model = _models(where, function)
        if not inspect.getdoc(function):
            raise DeclarationError(
                where,
                "it has no docstring",
                "Write one line that says what it does; it becomes the endpoint's summary",
            )
        own_name = function.__name__.replace("_", "-") if name is None else name
        names = (own_name, *aliases)
        for each in names:
            if not NAME.fullmatch(each):
                raise DeclarationError(
                    where,
                    f"the name {each!r} can't stand in a URL",
                    "Use lower-case words with dashes between them, such as 'send-email'",
                )
        return TaskType(
            name=names[0],
            function=function,
            payload_model=payload_model,
            result_model=result_model,
            queue=queue,
            time_limit=time_limit,
            retry=retry or Retry(),
            aliases=names[1:],
        )

    return declare


def _check_options(
    where: str, queue: object, time_limit: object, retry: object, aliases: object
) -> None:
    if not isinstance(queue, Queue):
        raise DeclarationError(
            where,
            f"queue={queue!r} is not a Queue",
            f"Use one of {', '.join(f'Queue.{member.name}' for member in Queue)}, "
            "or add a member in tasks/contract/queues.py",
        )
    if not isinstance(time_limit, timedelta):
        raise DeclarationError(
            where,
            f"time_limit={time_limit!r} is not a timedelta",
            "Write time_limit=timedelta(minutes=5)",
        )
    if not timedelta(0) < time_limit <= LONGEST_TIME_LIMIT:
        raise DeclarationError(
            where,
            f"time_limit={time_limit} is out of range",
            f"Give more than 0 and at most {LONGEST_TIME_LIMIT}: SQS hides a message for "
            "12 hours at most, so split longer work into several tasks",
        )
    if retry is not None and not isinstance(retry, Retry):
        raise DeclarationError(
            where, f"retry={retry!r} is not a Retry", "Write retry=Retry(attempts=3)"
        )
    if not isinstance(aliases, tuple):
        raise DeclarationError(
            where, f"aliases={aliases!r} is not a tuple", "Write aliases=('old-name',)"
        )


def _models(where: str, function: Callable[..., Any]) -> tuple[type[Any], type[Any]]:
    shape = "def name(payload: Model, context: TaskContext) -> Model"
    if inspect.iscoroutinefunction(function):
        raise DeclarationError(
            where,
            "it is an async function, and workers run plain ones",
            "Write def instead, and asyncio.run(...) inside where it is needed",
        )
    try:
        hints = get_type_hints(function)
    except NameError as error:
        raise DeclarationError(
            where,
            f"its signature names {error.name!r}, which isn't imported when the module is",
            "Payload and result are pydantic models declared in the task's own file; keep a heavy "
            "library's types out of the decorated signature",
        ) from error
    parameters = inspect.signature(function).parameters
    if len(parameters) != 2:  # noqa: PLR2004 - payload and context
        raise DeclarationError(where, f"it takes {len(parameters)} arguments", f"Write {shape}")
    payload, context = parameters
    for each in parameters.values():
        if each.kind not in {each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD}:
            raise DeclarationError(
                where, f"its argument {each.name!r} can't be given by position", f"Write {shape}"
            )
    if hints.get(context) is not TaskContext:
        raise DeclarationError(
            where,
            f"its second argument {context!r} is not annotated TaskContext",
            f"Write {shape}",
        )
    return (
        _model(where, "payload", hints.get(payload), shape),
        _model(where, "result", hints.get("return"), shape),
    )


def _model(where: str, role: str, annotation: object, shape: str) -> type[Any]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = "not annotated" if annotation is None else f"annotated {annotation!r}"
    raise DeclarationError(
        where,
        f"its {role} is {found}, and must be a pydantic model",
        f"Declare a class with BaseModel as its base, and write {shape}",
    )
