"""The stand-in for AWS, and real worker processes against it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from celeriac import Celeriac, states
from celeriac.contract.queues import DEAD_LETTER_SUFFIX
from celeriac.local.standin import Standin
from celeriac.operations.submission import submit
from celeriac.records import TaskRecord
from celeriac.settings import Settings
from celeriac.storage.services import services
from celeriac.topology import FIRE
from infra.cdk.environments import DEV
from infra.rehearsal.calls import ACCOUNT, REGION
from tests.integration.processes import wait_for

#: By which the stand-in tells the workers' calls from the tests'.
WORKER_KEY = "AKIAWORKER0000000000"
#: Short, so that what a dead worker held comes back soon.
VISIBILITY = timedelta(seconds=5)
READY_SECONDS = 30

#: Has a worker lose its connection in the midst of its event loop, as Celery sees it.
LOSE_CONNECTION = signal.SIGURG


def settings_at(endpoint: str) -> Settings:
    """The settings of the fault tests, with the names that a deployment's policies name."""
    return Settings(
        queue_url_prefix=f"{endpoint}/{ACCOUNT}/{DEV.prefix}-",
        queue_arn_prefix=f"arn:aws:sqs:{REGION}:{ACCOUNT}:{DEV.prefix}-",
        table_name=DEV.prefix,
        bucket_name=f"{DEV.prefix}-{ACCOUNT}-{REGION}",
        schedule_group=DEV.prefix,
        schedule_target_arn=f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{DEV.prefix}-{FIRE}",
        schedule_dead_letter_arn=(
            f"arn:aws:sqs:{REGION}:{ACCOUNT}:{DEV.prefix}-schedules{DEAD_LETTER_SUFFIX}"
        ),
        mail_from=None,
        visibility=VISIBILITY,
        drain_window=timedelta(seconds=20),
    )


def effect_key(task_id: str) -> dict[str, str]:
    """The item that a committed effect is."""
    return {"pk": f"effect#{task_id}", "sk": "effect"}


class WorkerProcess:
    """``python -m celeriac.worker`` in a process group of its own; its log is kept in a file."""

    def __init__(self, concurrency: int, environment: Mapping[str, str], pool: str | None) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="worker-")
        self.directory = Path(self._directory.name)
        self.health_file = self.directory / "health.json"
        self.log_file = self.directory / "log"
        command = [sys.executable, "-m", "tests.faults.run"]
        if pool is not None:
            command = [
                *(sys.executable, "-m", "celery", "-A", "tests.faults.app", "worker"),
                *("--pool", pool, "--concurrency", str(concurrency), "--queues", "default"),
                *("--without-gossip", "--without-mingle", "--without-heartbeat"),
            ]
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                env={
                    **os.environ,
                    "AWS_ACCESS_KEY_ID": WORKER_KEY,
                    "CELERIAC_QUEUES": "default",
                    "CELERIAC_CONCURRENCY": str(concurrency),
                    "CELERIAC_HEALTH_FILE": str(self.health_file),
                    **environment,
                },
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    @property
    def children(self) -> list[int]:
        """The pids of the pool's processes."""
        listed = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(pid) for pid in listed.split()]

    def signs(self) -> dict[str, Any]:
        """What the worker has written down last about its health."""
        signs: dict[str, Any] = json.loads(self.health_file.read_text())
        return signs

    def wait_ready(self) -> None:
        def ready() -> bool:
            assert self.process.poll() is None, f"the worker has ended:\n{self.log}"
            return self.health_file.exists()

        wait_for(ready, "the worker to start", READY_SECONDS)

    def kill(self) -> None:
        """SIGKILL to the main process, as a host that dies would."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """SIGTERM to the main process."""
        self.process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float = 30) -> int:
        return self.process.wait(seconds)

    def clean_up(self) -> None:
        """Leave nothing behind."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._directory.cleanup()


class Stack:
    """The stand-in, and the workers that were started against it."""

    def __init__(self, aws: Standin) -> None:
        self.aws = aws
        self._workers: list[WorkerProcess] = []

    def start_worker(
        self,
        concurrency: int = 2,
        *,
        pool: str | None = None,
        wait: bool = True,
        **environment: str,
    ) -> WorkerProcess:
        """Start a worker; with ``pool`` through Celery's command line."""
        worker = WorkerProcess(concurrency, environment, pool)
        self._workers.append(worker)
        if wait:
            worker.wait_ready()
        return worker

    def start_shared_worker(self, concurrency: int) -> WorkerProcess:
        """Start a worker that outlives the test; its caller cleans it up."""
        worker = self.start_worker(concurrency)
        self._workers.remove(worker)
        return worker

    def logs(self) -> str:
        """What all workers have logged, for a failure's report."""
        return "\n".join(f"--- worker {each.pid}\n{each.log}" for each in self._workers)

    def clean_up(self) -> None:
        """End all workers and faults, and empty the queues."""
        for worker in self._workers:
            worker.clean_up()
        self._workers.clear()
        self.aws.heal()
        self.aws.set_latency(timedelta(0))
        for url in services().sqs.list_queues()["QueueUrls"]:
            services().sqs.purge_queue(QueueUrl=url)
        self.aws.reset_stats()

    # -- tasks

    def submit(self, type_name: str, name: str = "x", seconds: float = 0, **options: Any) -> str:
        """Submit a task of the test's types; its id."""
        payload = {"name": name, "seconds": seconds}
        return submit(type_name, payload, app=self.caller, **options).record.task_id

    @cached_property
    def caller(self) -> Celeriac:
        """The app of a process that only submits."""
        from tests.faults.app import TYPES

        settings = services().settings
        return Celeriac("caller", settings=settings, catalogue=TYPES, set_as_current=False)

    def record(self, task_id: str) -> TaskRecord:
        record = services().records.get(task_id)
        assert record is not None, f"no record of {task_id}"
        return record

    def wait_for_state(self, task_id: str, *wanted: str, seconds: float = 30) -> TaskRecord:
        wait_for(
            lambda: self.record(task_id).state in wanted,
            f"{task_id} to become {' or '.join(wanted)}",
            seconds,
        )
        return self.record(task_id)

    def wait_for_all(
        self,
        task_ids: Iterable[str],
        seconds: float,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> dict[str, TaskRecord]:
        """The records of tasks that must all end in time."""
        left = set(task_ids)
        records: dict[str, TaskRecord] = {}
        give_up_at = time.monotonic() + seconds
        while left:
            found = services().records.get_many(left)
            records |= {id_: each for id_, each in found.items() if each.state in states.TERMINAL}
            left -= set(records)
            late = {each: found[each].state for each in list(left)[:5] if each in found}
            assert time.monotonic() < give_up_at, (
                f"{len(left)} tasks have not ended, such as {late}"
            )
            meanwhile()
            time.sleep(0.1)
        return records

    def depth(self, queue: str = "default") -> dict[str, int]:
        """How many messages are visible, in flight and delayed."""
        answer = services().sqs.get_queue_attributes(
            QueueUrl=services().settings.queue_url_prefix + queue, AttributeNames=["All"]
        )
        attributes = {str(name): value for name, value in answer["Attributes"].items()}
        kinds = {"visible": "", "in_flight": "NotVisible", "delayed": "Delayed"}
        return {
            kind: int(attributes[f"ApproximateNumberOfMessages{suffix}"])
            for kind, suffix in kinds.items()
        }
