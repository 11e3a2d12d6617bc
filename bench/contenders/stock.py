"""Stock Celery on SQS: late acknowledgement, its own DynamoDB backend, predefined queues.

``BENCH_STOCK=tuned`` selects kombu's best settings: the longest poll, without pauses between polls.
"""

from __future__ import annotations

import os

from celery import Celery

from bench.contenders.workload import work

QUEUE = "stock"
TABLE = "celery"

_TUNED = {"wait_time_seconds": 20, "polling_interval": 0}

app = Celery("stock", set_as_current=False)
app.conf.update(
    broker_url="sqs://",
    broker_transport_options={
        "region": "us-east-1",
        "predefined_queues": {QUEUE: {"url": os.environ.get("BENCH_QUEUE_URL", "")}},
        **(_TUNED if os.environ.get("BENCH_STOCK") == "tuned" else {}),
    },
    # No credentials in the URL: with them, all child processes would share one connection.
    result_backend=f"dynamodb://@us-east-1/{TABLE}",
    task_default_queue=QUEUE,
    task_acks_late=True,
    worker_prefetch_multiplier=4,
    worker_enable_remote_control=False,
    worker_send_task_events=False,
)


@app.task
def bench(seconds: float) -> None:
    """Wait for so many seconds."""
    work(seconds)


def send(seconds: float) -> None:
    """Send one task."""
    bench.delay(seconds)
