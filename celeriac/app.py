"""The Celery app: real Celery, set up for SQS and for the task types of the catalogue."""

from __future__ import annotations

from functools import cache

from kombu import Exchange
from kombu import Queue as KombuQueue

from celeriac.sending import CeleriacApp
from celeriac.settings import Settings, settings
from celeriac.task import RecordedTask
from celeriac.typed_task import TypedTask
from tasks.contract import Catalogue, Queue, catalogue

#: A child process is replaced after this many tasks, so that what libraries leak goes with it.
TASKS_PER_CHILD = 1000


#: How many threads of a process may publish at once. Starlette runs an API's operations in 40; one
#: that finds no connection left would wait without end (kombu/resource.py, acquire).
MOST_PUBLISHERS = 50


def make_app(settings: Settings, catalogue: Catalogue) -> CeleriacApp:
    """A Celery app that runs these task types under these settings."""
    # No fix-ups: the only one is Django's, and it imports Celery's worker into the API.
    app = CeleriacApp("celeriac", task_cls=RecordedTask, set_as_current=True, fixups=[])
    exchange = Exchange("", type="direct")
    app.conf.update(
        broker_url="sqs://",
        broker_transport="celeriac.transport:Transport",
        broker_transport_options={
            "predefined_queues": {
                queue.queue_name: {"url": settings.queue_url(queue)} for queue in Queue
            },
            "wait_time_seconds": 20,
            "polling_interval": 0,
            "visibility_timeout": int(settings.visibility.total_seconds()),
            "sqs_base64_encoding": False,
        },
        broker_connection_retry_on_startup=True,
        broker_pool_limit=MOST_PUBLISHERS,
        # botocore tries again itself. Both together would outlast the 30 s that API Gateway waits.
        task_publish_retry=False,
        result_backend="celeriac.backend:RecordBackend",
        result_expires=settings.record_ttl,
        task_serializer="json",
        result_serializer="json",
        accept_content=["json"],
        timezone="UTC",
        enable_utc=True,
        task_queues=[
            KombuQueue(queue.queue_name, exchange, routing_key=queue.queue_name) for queue in Queue
        ],
        task_create_missing_queues=False,
        imports=[module for module in settings.include.split(",") if module],
        task_default_queue=Queue.DEFAULT.queue_name,
        task_routes={
            name: {"queue": each.queue.queue_name}
            for each in catalogue.values()
            for name in each.names
        },
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_acks_on_failure_or_timeout=True,
        worker_prefetch_multiplier=1,
        worker_max_tasks_per_child=TASKS_PER_CHILD,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        # Neither remote control nor events exist on SQS.
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
    )
    app.conf.celeriac_tenant = settings.tenant
    app.conf.celeriac_record_ttl = settings.record_ttl
    app.conf.celeriac_visibility = settings.visibility
    for each in catalogue.values():
        for name in each.names:
            app.register_task(TypedTask.of(each, name))
    return app


@cache
def celery_app() -> CeleriacApp:
    """The app of this process's settings and of the ``tasks`` package."""
    return make_app(settings(), catalogue())


__all__ = ["CeleriacApp", "celery_app", "make_app"]
