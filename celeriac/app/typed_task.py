"""Runs a task type of the catalogue as a Celery task: validates, calls, and retries by policy."""

from __future__ import annotations

from typing import Any, ClassVar

from celery import Task
from celery.exceptions import Ignore, Reject, Retry, SoftTimeLimitExceeded
from pydantic import ValidationError

from celeriac.app.context import RunningContext
from celeriac.app.eager import EagerContext
from celeriac.app.escapes import contained
from celeriac.app.task import RecordedTask
from celeriac.contract import PermanentError, RateLimited, RetryLater, TaskType
from celeriac.contract.errors import Picklable
from celeriac.contract.limits import Limit, of_celery
from celeriac.records import LeaseLostError
from celeriac.transport.call import plain


class TimeLimitExceeded(Picklable, Exception):
    """The task ran longer than its time limit, in seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds

    def __str__(self) -> str:
        return f"The task ran longer than its time limit of {self.seconds:g} s."


class TypedTask(RecordedTask):
    """Runs a task type: validates, calls the function, and applies the retry policy."""

    abstract = True
    task_type: ClassVar[TaskType[Any, Any]]

    @classmethod
    def of(
        cls, task_type: TaskType[Any, Any], name: str, base: type[Task] = Task
    ) -> type[TypedTask]:
        """The Celery task that runs a task type under one of its names; ``base`` is the app's."""
        return type(
            name,
            (cls, base),
            {
                "name": name,
                "task_type": task_type,
                "max_retries": task_type.retry.attempts - 1,
                "soft_time_limit": task_type.time_limit.total_seconds(),
                "time_limit": task_type.hard_time_limit.total_seconds(),
                "__doc__": task_type.description,
                "__module__": task_type.function.__module__,
            },
        )

    def run(self, payload: Any) -> Any:
        """Run one attempt; its result as JSON's types."""
        task_type = self.task_type
        model = self._read(plain(payload))
        with self._context() as context:
            if self._here:
                result = task_type(model, context)
            else:
                # A process that it forks ends there, and removes no files of the context's.
                result = contained(task_type, model, context)
        if not isinstance(result, task_type.result_model):
            raise PermanentError(
                f"{task_type.name} returned {type(result).__name__}, "
                f"but declares {task_type.result_model.__name__}.",
                type="wrong-result",
            )
        return result.model_dump(mode="json")

    def _read(self, payload: Any) -> Any:
        """The payload as the type's model.

        Raises:
            Reject: it was valid when it was accepted: the type has changed since. A redrive, once
                the type takes it again, finds it in the dead-letter queue.
            PermanentError: it isn't valid, and nobody has accepted it before.
        """
        payloads = self.task_type.payloads
        try:
            return payloads.read(payload) if self._here else payloads.read_accepted(payload)
        except ValidationError as error:
            is_so = "isn't" if self._here else "is no longer"
            why = f"The payload {is_so} valid for {self.task_type.name}: {_places(error)}"
            invalid = PermanentError(why, type="invalid-payload")
            if self._here:
                raise invalid from error
            raise Reject(invalid, requeue=False) from error

    @property
    def _here(self) -> bool:
        """Whether it runs where it was called: eagerly, or as a function."""
        return bool(self.request.is_eager or self.request.called_directly)

    def _context(self) -> RunningContext | EagerContext:
        request, limit = self.request, self.task_type.time_limit
        if self._here:
            return EagerContext(request, self.name, self.app.settings.tenant, limit)
        return RunningContext(request.record, request.owner, limit)

    def _call(self, args: Any, kwargs: Any) -> Any:
        """Call the task, and apply its type's retry policy to what comes out."""
        try:
            return super()._call(args, kwargs)
        except RetryLater as later:
            raise self.retry(
                exc=later, countdown=later.after.total_seconds(), max_retries=self._most(later)
            ) from later
        except (PermanentError, Ignore, Reject, Retry):
            raise
        except LeaseLostError as lost:
            if lost.task_id == self.request.id:
                raise
            raise self._again(lost) from lost
        except SoftTimeLimitExceeded as exceeded:
            seconds = self.task_type.time_limit.total_seconds()
            raise self._again(TimeLimitExceeded(seconds)) from exceeded
        except Exception as error:
            raise self._again(error) from error

    def _again(self, error: Exception) -> BaseException:
        delay = self.task_type.retry.delay(self.request.retries - self._limited + 1)
        retry: BaseException = self.retry(
            exc=error,
            countdown=delay.total_seconds(),
            max_retries=self._most(error),
            throw=False,
        )
        return retry

    @property
    def _limited(self) -> int:
        """How many of the attempts before this one don't count."""
        return 0 if self._here else self.request.record.limited

    def _most(self, error: Exception) -> int:
        """How many retries there may be, with those that don't count.

        Eagerly every attempt counts: they follow each other at once, so they would never end.
        """
        free = isinstance(error, RateLimited) and not self._here
        return (self.max_retries or 0) + self._limited + free


def _places(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(map(str, each['loc'])) or 'payload'}: {each['msg']}"
        for each in error.errors(include_url=False, include_input=False)
    )


def limits_of(task: Task) -> tuple[Limit, ...]:
    """The limits of a task, its own and that of Celery's ``rate_limit``."""
    # No attributes of the task's class: its author's may have the same names.
    limits = task.task_type.limits if isinstance(task, TypedTask) else ()
    celerys = of_celery(task.rate_limit)
    if celerys is not None and celerys.kind not in {each.kind for each in limits}:
        return (*limits, celerys)
    return tuple(limits)


def type_name_of(task: Task) -> str:
    """The name of a task's type, where it is called by an alias too."""
    return str(task.task_type.name if isinstance(task, TypedTask) else task.name)
