"""Runs a task type of the catalogue as a Celery task: validates, calls, and retries by policy."""

from __future__ import annotations

from typing import Any, ClassVar

from celery.exceptions import Reject, SoftTimeLimitExceeded
from pydantic import ValidationError

from celeriac.context import RunningContext
from celeriac.records import LeaseLostError, TaskRecord
from celeriac.task import RecordedTask
from tasks.contract import PermanentError, RetryLater, TaskType


class TimeLimitExceeded(Exception):
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
    def of(cls, task_type: TaskType[Any, Any], name: str) -> type[TypedTask]:
        """The Celery task that runs a task type under one of its names."""
        return type(
            name,
            (cls,),
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
        record: TaskRecord = self.request.record
        task_type = self.task_type
        try:
            # Records keep payloads by the names of their fields, callers may use aliases.
            model = task_type.payload_model.model_validate(payload, by_alias=True, by_name=True)
        except ValidationError as error:
            # It was valid when it was accepted: the type has changed since. A redrive, once the
            # type takes it again, finds it in the dead-letter queue.
            why = f"The payload is no longer valid for {task_type.name}: {_places(error)}"
            raise Reject(PermanentError(why, type="invalid-payload"), requeue=False) from error
        with RunningContext(record, self.request.owner, task_type.time_limit) as context:
            try:
                result = task_type(model, context)
            except RetryLater as later:
                raise self.retry(exc=later, countdown=later.after.total_seconds()) from later
            except (PermanentError, LeaseLostError):
                raise
            except SoftTimeLimitExceeded as exceeded:
                seconds = task_type.time_limit.total_seconds()
                raise self._again(TimeLimitExceeded(seconds)) from exceeded
            except Exception as error:
                raise self._again(error) from error
        if not isinstance(result, task_type.result_model):
            raise PermanentError(
                f"{task_type.name} returned {type(result).__name__}, "
                f"but declares {task_type.result_model.__name__}.",
                type="wrong-result",
            )
        return result.model_dump(mode="json")

    def _again(self, error: Exception) -> BaseException:
        delay = self.task_type.retry.delay(self.request.retries + 1)
        retry: BaseException = self.retry(exc=error, countdown=delay.total_seconds(), throw=False)
        return retry


def _places(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(map(str, each['loc'])) or 'payload'}: {each['msg']}"
        for each in error.errors(include_url=False, include_input=False)
    )
