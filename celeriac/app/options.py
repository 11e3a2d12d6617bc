"""Celery's settings in an app on SQS: which are Celeriac's to give, and which are refused.

All others are the user's, with Celery's meaning.
"""

from __future__ import annotations

import logging
import os
from typing import Any

from celery.exceptions import ImproperlyConfigured

from celeriac.contract import DEFAULT
from celeriac.settings import Settings

log = logging.getLogger(__name__)

BROKER_URL = "sqs://"

#: How many threads of a process may publish at once. Starlette runs an API's operations in 40; one
#: that finds no connection left would wait without end (kombu/resource.py, acquire).
MOST_PUBLISHERS = 50
#: A child process is replaced after this many tasks, so that what libraries leak goes with it.
TASKS_PER_CHILD = 1000

#: The user may set these. Without a value they have this one, which is not Celery's.
DEFAULTS: dict[str, Any] = {
    "broker_connection_retry_on_startup": True,
    "task_default_queue": DEFAULT.name,
    "worker_hijack_root_logger": False,
    "worker_max_tasks_per_child": TASKS_PER_CHILD,
    "worker_redirect_stdouts": False,
}

#: Celeriac gives these. A user's other value is ignored, with one log line that says why.
_BROKER = "Celeriac's broker is SQS; CELERIAC_QUEUE_URL_PREFIX says where"
_BACKEND = "Celeriac keeps results in DynamoDB and S3; CELERIAC_TABLE_NAME says where"
_ACKNOWLEDGED = "a message is deleted after its task has ended, so that no lost worker loses it"
_NO_BROADCAST = "SQS has no broadcast; `celeriac workers` and app.control read heartbeats"
_JSON = "Celeriac's messages and results are JSON"
_ROUTES = "a message on SQS goes straight to its queue"
FIXED: dict[str, tuple[Any, str]] = {
    "accept_content": (["json"], _JSON),
    "broker_pool_limit": (MOST_PUBLISHERS, "an API's threads publish side by side"),
    "broker_read_url": (BROKER_URL, _BROKER),
    "broker_transport": ("celeriac.transport:Transport", _BROKER),
    "broker_transport_options": (
        {"wait_time_seconds": 20, "polling_interval": 0, "sqs_base64_encoding": False},
        "CELERIAC_VISIBILITY is the option there is",
    ),
    "broker_url": (BROKER_URL, _BROKER),
    "broker_use_ssl": (False, _BROKER),
    "broker_write_url": (BROKER_URL, _BROKER),
    "enable_utc": (True, "times are kept in UTC"),
    "result_accept_content": (None, _JSON),
    "result_backend": ("celeriac.app.backend:RecordBackend", _BACKEND),
    "result_backend_transport_options": ({}, _BACKEND),
    "result_compression": (None, "large results are in S3"),
    "task_acks_late": (True, _ACKNOWLEDGED),
    "task_acks_on_failure_or_timeout": (True, "a task that failed is run again by retries only"),
    "task_compression": (None, "large arguments are in S3"),
    "task_create_missing_queues": (False, "queues are made when deploying"),
    "task_default_exchange": ("", _ROUTES),
    "task_default_exchange_type": ("direct", _ROUTES),
    "task_default_routing_key": (None, _ROUTES),
    # botocore tries again itself. Both together would outlast the 30 s that API Gateway waits.
    "task_publish_retry": (False, "botocore tries again itself"),
    "task_queue_max_priority": (None, "each queue has two lanes: a priority above 5 is urgent"),
    "task_reject_on_worker_lost": (True, _ACKNOWLEDGED),
    "task_send_sent_event": (False, _NO_BROADCAST),
    "worker_cancel_long_running_tasks_on_connection_loss": (
        False,
        "a lost connection doesn't end a lease",
    ),
    "worker_consumer": ("celeriac.worker.consumer:Consumer", "it is what claims and renews"),
    "worker_direct": (False, "queues are made when deploying"),
    "worker_enable_remote_control": (False, _NO_BROADCAST),
    "worker_prefetch_multiplier": (1, "a worker adapts what it holds to how long its tasks take"),
    "worker_send_task_events": (False, _NO_BROADCAST),
}
#: What the environment gives Celery for two of them, over any setting.
_VARIABLES = {
    "CELERY_BROKER_READ_URL": "broker_read_url",
    "CELERY_BROKER_URL": "broker_url",
    "CELERY_BROKER_WRITE_URL": "broker_write_url",
    "CELERY_RESULT_BACKEND": "result_backend",
}

#: Another value than these would change what tasks are given: it is refused.
_SERIALIZERS = ("task_serializer", "result_serializer")
SERIALIZER = "json"


class OptionRefusedError(ImproperlyConfigured):
    """A setting of Celery's that can't hold on SQS. The message says what to do instead."""


def refuse_serializer(option: str, value: str | None) -> None:
    """Raise ``OptionRefusedError``, unless the value is JSON or none."""
    if value not in (None, SERIALIZER):
        raise OptionRefusedError(
            f"{option}={value!r} is refused: {_JSON}. Remove it, and pass what JSON can hold: "
            "ids, text, numbers, lists and objects."
        )


def settle(conf: Any, settings: Settings) -> None:
    """Give an app's configuration what is Celeriac's to give, and log what is ignored for it.

    Raises:
        OptionRefusedError: a setting can't hold here.
    """
    for name in _SERIALIZERS:
        if conf.value_set_for(name):
            refuse_serializer(name, conf[name])
    for name, why in _ignored(conf).items():
        log.warning("Celery's setting %s is ignored: %s.", name, why)
    conf.update({name: each for name, each in DEFAULTS.items() if not conf.value_set_for(name)})
    conf.update({name: value for name, (value, _) in FIXED.items()})
    conf.update(
        imports=(*(conf.imports or ()), *(name for name in settings.include.split(",") if name)),
        result_expires=settings.record_ttl,
        result_serializer=SERIALIZER,
        task_serializer=SERIALIZER,
    )


def _ignored(conf: Any) -> dict[str, str]:
    """The user's settings that have no effect here, each with the reason."""
    ignored = {
        name: why
        for name, (value, why) in FIXED.items()
        if conf.value_set_for(name) and _plain(conf.get(name)) not in (_plain(value), None)
    }
    for variable, name in _VARIABLES.items():
        if variable in os.environ:
            ignored[name] = FIXED[name][1]
    if conf.value_set_for("result_expires"):
        ignored["result_expires"] = "CELERIAC_RECORD_TTL says how long results are kept"
    return ignored


def _plain(value: Any) -> Any:
    """A collection as a list: ``accept_content`` may be a set or a tuple as well."""
    return sorted(value) if isinstance(value, set | tuple) else value
