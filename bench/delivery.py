"""The throughput of one worker, compared with stock Celery on the same stand-in in one run.

    python -m bench.delivery [--rounds 3] [--window 6] [--latency 10]

Each worker has eight prefork processes, and each call of AWS takes ten milliseconds. The queue is
filled first. Two seconds after the first task ends, the benchmark starts to count ended tasks.
The contenders take turns, and their medians are compared. Only the ratios within one run are
meaningful: the seconds depend on the machine.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import boto3

from bench.contenders.workload import FILE, ends
from celeriac.contract import catalogue
from celeriac.local.environment import aws_variables, enter
from celeriac.local.provision import provision
from celeriac.local.standin import Standin
from celeriac.settings import Settings

PROCESSES = 8
WARM_UP_SECONDS = 2.0
START_SECONDS = 60
#: As in bench.contenders.stock, which can't be imported before its URL is known.
STOCK_QUEUE = "stock"
STOCK_TABLE = "celery"
#: The queue is filled for this many tasks a second, so that it doesn't run empty.
MOST_PER_SECOND = {"ours": 700, "stock": 120}


@dataclass(frozen=True)
class Workload:
    """Tasks of one length, in seconds."""

    name: str
    seconds: float

    @property
    def ideal(self) -> float | None:
        """Tasks per second if only the tasks took time."""
        return PROCESSES / self.seconds if self.seconds else None


@dataclass
class Contender:
    """A worker to start, its rates by workload, and its calls per task."""

    name: str
    filler: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    rates: dict[str, list[float]] = field(default_factory=dict)
    calls: dict[str, list[float]] = field(default_factory=dict)

    def rate(self, workload: Workload) -> float:
        return statistics.median(self.rates[workload.name])


NO_OP = Workload("no-op", 0)
SHORT = Workload("100 ms", 0.1)

_CELERY = [
    *(sys.executable, "-m", "celery", "-A", "bench.contenders.stock", "worker"),
    *("--pool", "prefork", "--concurrency", str(PROCESSES), "--loglevel", "WARNING"),
    *("--without-gossip", "--without-mingle", "--without-heartbeat"),
]


def contenders() -> list[Contender]:
    """Celeriac, and stock Celery in two configurations."""
    return [
        Contender(
            "celeriac",
            "ours",
            [sys.executable, "-m", "bench.contenders.ours"],
            {
                "CELERIAC_QUEUES": "default",
                "CELERIAC_CONCURRENCY": str(PROCESSES),
                "CELERIAC_LOG_LEVEL": "WARNING",
            },
        ),
        Contender("stock Celery, prefetch x4", "stock", _CELERY),
        Contender("stock Celery, tuned", "stock", _CELERY, {"BENCH_STOCK": "tuned"}),
    ]


def main() -> None:
    """Run all contenders and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.delivery")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--window", type=float, default=6, help="seconds to count tasks for")
    parser.add_argument(
        "--latency", type=float, default=10, help="milliseconds for each call of AWS"
    )
    arguments = parser.parse_args()
    latency = timedelta(milliseconds=arguments.latency)
    with Standin() as aws:
        settings = Settings(
            queue_url_prefix=f"{aws.endpoint}/123456789012/celeriac-", mail_from=None
        )
        enter(settings.to_environment() | aws_variables(aws.endpoint))
        provision(settings, catalogue())
        os.environ["BENCH_QUEUE_URL"] = f"{aws.endpoint}/123456789012/{STOCK_QUEUE}"
        _provision_stock()
        competing = contenders()
        for workload in (NO_OP, SHORT):
            for _ in range(arguments.rounds):
                for contender in competing:
                    _run_round(aws, settings, contender, workload, latency, arguments.window)
        _report(competing, arguments)


def _provision_stock() -> None:
    """Make the queue and the table of stock Celery."""
    boto3.client("dynamodb").create_table(
        TableName=STOCK_TABLE,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )
    boto3.client("sqs").create_queue(
        QueueName=STOCK_QUEUE, Attributes={"VisibilityTimeout": "1800"}
    )


def _run_round(
    aws: Standin,
    settings: Settings,
    contender: Contender,
    workload: Workload,
    latency: timedelta,
    window: float,
) -> None:
    send, url = _filler(contender.filler, settings)
    most = workload.ideal or MOST_PER_SECOND[contender.filler]
    aws.set_latency(timedelta(0))
    boto3.client("sqs").purge_queue(QueueUrl=url)
    for _ in range(int(most * (window + WARM_UP_SECONDS + 1))):
        send(workload.seconds)
    aws.set_latency(latency)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "ends"
        with _running(contender, path):
            begins_at = _first_end(path) + WARM_UP_SECONDS
            time.sleep(max(0, begins_at - time.monotonic()))
            aws.reset_stats()
            time.sleep(window)
            calls = sum(aws.calls().values())
        counted = [end for end in ends(path) if begins_at <= end < begins_at + window]
    contender.rates.setdefault(workload.name, []).append(len(counted) / window)
    contender.calls.setdefault(workload.name, []).append(calls / max(len(counted), 1))
    rate = len(counted) / window
    sys.stderr.write(f"{workload.name:>7}  {contender.name:<28} {rate:8.1f}/s\n")


def _filler(name: str, settings: Settings) -> tuple[Callable[[float], None], str]:
    """The function that sends one task, and the URL of its queue."""
    if name == "ours":
        from bench.contenders import ours

        return ours.send, settings.queue_url_prefix + "default"
    from bench.contenders import stock

    return stock.send, os.environ["BENCH_QUEUE_URL"]


@contextmanager
def _running(contender: Contender, path: Path) -> Iterator[None]:
    """Start the worker's processes in one group, and end the group."""
    environment = {**os.environ, **contender.environment, FILE: str(path)}
    with (path.parent / "log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own commands
            contender.command, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _first_end(path: Path) -> float:
    give_up_at = time.monotonic() + START_SECONDS
    while not (found := ends(path)):
        if time.monotonic() > give_up_at:
            log = (path.parent / "log").read_text(errors="replace")
            raise TimeoutError(f"No task has ended in {START_SECONDS} s:\n{log}")
        time.sleep(0.05)
    return found[0]


def _report(competing: list[Contender], arguments: argparse.Namespace) -> None:
    ours = competing[0]
    write = sys.stdout.write
    write(
        f"\n{PROCESSES} processes, {arguments.latency:g} ms a call of AWS, "
        f"medians of {arguments.rounds} rounds of {arguments.window:g} s\n\n"
    )
    write("| tasks | worker | tasks/s | share of the ideal | celeriac is | AWS calls a task |\n")
    write("|---|---|---:|---:|---:|---:|\n")
    for workload in (NO_OP, SHORT):
        for each in competing:
            rate = each.rate(workload)
            share = f"{rate / workload.ideal:.2f}" if workload.ideal else ""
            times = "" if each is ours else f"{ours.rate(workload) / rate:.1f} times as fast"
            calls = statistics.median(each.calls[workload.name])
            columns = (workload.name, each.name, f"{rate:.1f}", share, times, f"{calls:.1f}")
            write(f"| {' | '.join(columns)} |\n")


if __name__ == "__main__":
    main()
