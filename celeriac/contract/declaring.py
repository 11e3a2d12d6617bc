"""``@task``: turn a function into a task type, or say at import what is wrong with it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import timedelta
from types import FunctionType
from typing import Any, overload

from celeriac.contract import declared_limits, options, signature
from celeriac.contract.context import TaskContext
from celeriac.contract.errors import DeclarationError
from celeriac.contract.limits import Debounce, Limit, Unique
from celeriac.contract.payloads import Payloads
from celeriac.contract.places import Place, short
from celeriac.contract.queues import DEFAULT, Queue
from celeriac.contract.retry import Retry
from celeriac.contract.schedule import Schedule
from celeriac.contract.task_type import P, R, TaskType

DEFAULT_TIME_LIMIT = timedelta(minutes=5)

_LAMBDA = "<lambda>"

#: Every task type that this process has declared. ``check`` finds those that no module shows.
made: list[TaskType[Any, Any]] = []


@overload
def task(function: Callable[[P, TaskContext], R], /) -> TaskType[P, R]: ...


@overload
def task(
    *,
    queue: Queue = DEFAULT,
    time_limit: timedelta = DEFAULT_TIME_LIMIT,
    retry: Retry | None = None,
    name: str | None = None,
    aliases: tuple[str, ...] = (),
    max_running: int | None = None,
    rate: str | None = None,
    limits: tuple[Limit, ...] = (),
    unique_for: timedelta | Unique | None = None,
    debounce: timedelta | Debounce | None = None,
    operators_only: bool = False,
    sends_mail: bool = False,
    schedule: Schedule | tuple[Schedule, ...] | None = None,
) -> Callable[[Callable[[P, TaskContext], R]], TaskType[P, R]]: ...


def task(
    *positional: Any,
    queue: Queue = DEFAULT,
    time_limit: timedelta = DEFAULT_TIME_LIMIT,
    retry: Retry | None = None,
    name: str | None = None,
    aliases: tuple[str, ...] = (),
    max_running: int | None = None,
    rate: str | None = None,
    limits: tuple[Limit, ...] = (),
    unique_for: timedelta | Unique | None = None,
    debounce: timedelta | Debounce | None = None,
    operators_only: bool = False,
    sends_mail: bool = False,
    schedule: Schedule | tuple[Schedule, ...] | None = None,
    **unknown: Any,
) -> Any:
    """Declare a task type.

        @task(queue=FILES, time_limit=timedelta(minutes=2), retry=Retry(attempts=3))
        def process_file(payload: ProcessFile, context: TaskContext) -> ProcessedFile:
            '''Compress, convert, inspect or validate an uploaded file.'''

    The options have defaults, so ``@task`` alone is enough. They are the default queue, a time
    limit of 5 minutes, and ``Retry()``: three attempts. The type's name is the function's, with
    dashes (``process-file``), unless ``name`` gives another. ``aliases`` are its former names.
    Over HTTP, ``operators_only`` types take a key or token with the scope ``admin``. Tasks of a
    type that ``sends_mail`` count against the setting ``mails_per_tenant``.

    ``max_running`` is how many may run at once, and ``rate`` how many may start in a time, such as
    ``100/m``; ``limits`` are finer ones. ``unique_for`` and ``debounce`` say which submissions are
    one task: ``celeriac.contract.limits``.

    ``schedule`` is when the type runs by itself: a ``Schedule``, or a tuple of several.

    Raises:
        DeclarationError: while the module is imported, naming the fault and the fix.
    """

    def declare(function: Any) -> TaskType[Any, Any]:
        if not isinstance(function, FunctionType) or function.__name__ == _LAMBDA:
            raise _not_a_function(Place.of_caller(inspect.currentframe(), above=above), function)
        place = Place.of(function)
        if positional and positional != (function,):
            raise DeclarationError(
                place,
                f"@task({', '.join(map(short, positional))}) passes options by position",
                "Pass them by name, such as @task(queue=EMAIL)",
            )
        options.refuse_unknown(place, unknown)
        options.check(place, queue, time_limit, retry, aliases, operators_only, sends_mail)
        for each in aliases if name is None else (name, *aliases):
            options.check_name(place, each)
        payload_model, result_model = signature.models(place, function)
        limited = declared_limits.read(
            place, payload_model, max_running, rate, limits, unique_for, debounce
        )
        task_type = TaskType(
            name=options.name_of(place, function.__name__) if name is None else name,
            function=function,
            payload_model=payload_model,
            result_model=result_model,
            queue=queue,
            time_limit=time_limit,
            retry=retry or Retry(),
            aliases=aliases,
            limits=limited.limits,
            unique=limited.unique,
            debounce=limited.debounce,
            operators_only=operators_only,
            sends_mail=sends_mail,
            schedules=options.schedules(place, schedule, Payloads(payload_model)),
        )
        made.append(task_type)
        return task_type

    # An option passed by position is reported later, with the function's place.
    bare = len(positional) == 1 and (callable(positional[0]) or _wraps(positional[0]))
    above = 2 if bare else 1
    return declare(positional[0]) if bare else declare


def _wraps(value: object) -> bool:
    return isinstance(value, classmethod | staticmethod | property)


def _not_a_function(place: Place, value: object) -> DeclarationError:
    match value:
        case TaskType():
            fault, fix = f"{value.function.__name__} has @task twice", "Remove one of them"
        case FunctionType():
            fault, fix = "a lambda has no annotations", "Write it as a function with def"
        case type():
            fault = f"{value.__name__} is a class"
            fix = "Write @task above a function at the module's top level"
        case classmethod() | staticmethod() | property():
            fault = f"@task stands above a {type(value).__name__}"
            fix = "Write the function at the module's top level, outside its class"
        case _:
            kind = f"{type(value).__module__}.{type(value).__qualname__}"
            fault = f"@task stands above a {kind}, which is not a plain function"
            fix = "Write @task directly above a def, without Celery's decorator or functools"
    return DeclarationError(place, fault, fix)
