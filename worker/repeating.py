"""A step of the worker that does something again and again while the worker consumes."""

from __future__ import annotations

from abc import abstractmethod
from datetime import timedelta
from typing import Any

from celery import bootsteps
from celery.worker.consumer.tasks import Tasks


class RepeatingStep(bootsteps.StartStopStep):
    """Acts every ``interval``, on the event loop's thread; not in a pool without an event loop."""

    requires = (Tasks,)
    interval: timedelta

    def __init__(self, consumer: Any, **kwargs: Any) -> None:
        super().__init__(consumer, **kwargs)
        self._timer: Any = None

    def start(self, consumer: Any) -> None:
        if consumer.hub is not None:
            seconds = self.interval.total_seconds()
            self._timer = consumer.hub.call_repeatedly(seconds, self.act, consumer)

    def stop(self, consumer: Any) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @abstractmethod
    def act(self, consumer: Any) -> None:
        """What is done each time."""
