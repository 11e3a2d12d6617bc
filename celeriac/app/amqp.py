"""Queues and routes: those of the catalogue, and what the user's ``task_routes`` make of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from celery.app.amqp import AMQP as CeleryAMQP  # noqa: N811
from celery.app.amqp import Queues as CeleryQueues
from celery.app.routes import MapRoute
from celery.app.routes import Router as CeleryRouter
from celery.exceptions import QueueNotFound
from kombu import Exchange
from kombu import Queue as KombuQueue

from celeriac.app.call_options import without_brokers
from celeriac.contract.errors import Picklable

if TYPE_CHECKING:
    from celeriac.app.sending import CeleriacApp

#: SQS has no exchanges. Every message goes straight to the queue it names.
EXCHANGE = Exchange("", type="direct")


class UnknownQueueError(Picklable, QueueNotFound):
    """A task, a route or a worker names a queue that isn't declared."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(name)
        self.name = name
        self.known = tuple(sorted(known))

    def __str__(self) -> str:
        return (
            f"There is no queue {self.name!r}. Declare it with Queue({self.name!r}) in "
            f"tasks/queues.py, or with Celeriac(..., queues=[Queue({self.name!r})]). "
            f"Declared are: {', '.join(self.known)}."
        )


class Queues(CeleryQueues):
    """The declared queues, by name. Queues are made when deploying, not when sending."""

    def __missing__(self, name: str) -> KombuQueue:
        raise UnknownQueueError(name, self)

    def select(self, include: Any) -> None:
        """As Celery's, for the worker's ``--queues``.

        Raises:
            click.UsageError: one of them isn't declared.
        """
        try:
            super().select(include)
        except UnknownQueueError as error:
            # Celery's worker would hide the sentence in one of its own, about another setting.
            from click import UsageError

            raise UsageError(str(error)) from None


class Router(CeleryRouter):
    """Celery's router, whose destination is a queue alone."""

    def route(
        self,
        options: dict[str, Any],
        name: str,
        args: Any = (),
        kwargs: Any = None,
        task_type: Any = None,
    ) -> dict[str, Any]:
        """The options with their queue; what only another broker understands is left out."""
        options = without_brokers(options)
        destination = without_brokers(super().route(options, name, args, kwargs, task_type))
        # A route to an exchange alone names no queue.
        destination.setdefault("queue", self.app.amqp.default_queue)
        return destination

    def expand_destination(self, route: Any) -> dict[str, Any]:
        """As Celery's. Raises ``UnknownQueueError``, where Celery's names a setting to change."""
        queue = route if isinstance(route, str) else route.get("queue")
        if queue is not None:
            self.queues[getattr(queue, "name", queue)]
        expanded: dict[str, Any] = super().expand_destination(route)
        return expanded


class AMQP(CeleryAMQP):
    """``app.amqp`` of an app whose queues are those of its catalogue."""

    app: CeleriacApp
    queues_cls = Queues
    _rtable: list[Any]

    @property
    def default_exchange(self) -> Exchange:
        return EXCHANGE

    def Queues(self, queues: Any, **_: Any) -> Queues:  # noqa: N802 - Celery's name
        """The catalogue's queues.

        Raises:
            UnknownQueueError: ``task_queues`` or ``task_default_queue`` names another.
        """
        declared = Queues(
            [
                KombuQueue(queue.name, EXCHANGE, routing_key=queue.name)
                for queue in self.app.catalogue.queues
            ],
            default_exchange=EXCHANGE,
            create_missing=False,
        )
        named = queues if isinstance(queues, Mapping) else [each.name for each in queues or ()]
        for name in (*named, self.app.conf.task_default_queue):
            declared[name]
        return declared

    def Router(self, queues: Any = None, create_missing: Any = None) -> Router:  # noqa: N802
        return Router(self.routes, queues or self.queues, False, app=self.app)

    def flush_routes(self) -> None:
        """Prepare the routes: a task type's own queue comes before ``task_routes``."""
        super().flush_routes()
        own = {
            name: {"queue": each.queue.name}
            for each in self.app.catalogue.values()
            for name in each.names
        }
        self._rtable = [MapRoute(own), *self._rtable]
