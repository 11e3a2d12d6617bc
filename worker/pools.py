"""Which pools can be used."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

from billiard.einfo import ExceptionInfo
from celery import bootsteps
from celery.concurrency.thread import TaskPool
from celery.exceptions import ImproperlyConfigured


class ThreadPool(TaskPool):
    """Celery's threads pool, which also reports what is raised outside a task's own code.

    Celery's drops it, such as the ``Reject`` of an outcome that can't be written: the request
    would count as running, and its lease be renewed, for ever.
    """

    def on_apply(
        self, *args: Any, error_callback: Callable[[Any], None] | None = None, **options: Any
    ) -> Any:
        result = super().on_apply(*args, **options)
        if error_callback is not None:
            result.f.add_done_callback(partial(_report, error_callback))
        return result


def _report(error_callback: Callable[[Any], None], future: Future[Any]) -> None:
    error = None if future.cancelled() else future.exception()
    if error is not None:
        error_callback(ExceptionInfo((type(error), error, error.__traceback__)))


class ChoosePool(bootsteps.Step):
    """Refuse a pool that runs tasks on the event loop; take our own pool of threads."""

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        super().__init__(worker, **kwargs)
        if worker.pool_cls.__module__ == "celery.concurrency.solo":
            raise ImproperlyConfigured(
                "The solo pool runs tasks on the worker's event loop, which then can't receive "
                "or acknowledge. Use --pool prefork or --pool threads."
            )
        if worker.pool_cls is TaskPool:
            worker.pool_cls = ThreadPool
