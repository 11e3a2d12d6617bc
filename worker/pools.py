"""Which pools can be used."""

from __future__ import annotations

from typing import Any

from celery import bootsteps
from celery.exceptions import ImproperlyConfigured


class RefuseSolo(bootsteps.Step):
    """Refuse a pool that runs tasks on the event loop."""

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        super().__init__(worker, **kwargs)
        if worker.pool_cls.__module__ == "celery.concurrency.solo":
            raise ImproperlyConfigured(
                "The solo pool runs tasks on the worker's event loop, which then can't receive "
                "or acknowledge. Use --pool prefork or --pool threads."
            )
