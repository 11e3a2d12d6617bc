"""How long other requests take while hundreds of clients wait for their tasks.

    python -m bench.long_polls --polls 300 --wait 20

The API runs under uvicorn in one process, a DynamoDB that answers in constant time in another, and
this one asks. It compares the same steady requests without and with the polls.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import quantiles
from time import perf_counter, sleep
from urllib.error import URLError
from urllib.request import urlopen

import httpx

AWS_PORT, API_PORT = 5917, 8917
#: Steady requests a second.
RATE = 40
ENVIRONMENT = {
    "AWS_ENDPOINT_URL": f"http://127.0.0.1:{AWS_PORT}",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@contextmanager
def running(url: str, *command: str) -> Iterator[None]:
    """A process that answers at this URL."""
    process = subprocess.Popen([sys.executable, "-m", *command], stderr=subprocess.DEVNULL)  # noqa: S603
    try:
        for _ in range(300):
            try:
                urlopen(url, timeout=1).close()  # noqa: S310
            except (URLError, OSError):
                sleep(0.1)
            else:
                break
        yield
    finally:
        process.terminate()
        process.wait()


async def steady(client: httpx.AsyncClient, task_ids: list[str], seconds: float) -> list[float]:
    """The seconds that each of the steady requests took."""
    took: list[float] = []

    async def ask(task_id: str) -> None:
        start = perf_counter()
        (await client.get(f"/tasks/{task_id}")).raise_for_status()
        took.append(perf_counter() - start)

    async with asyncio.TaskGroup() as group:
        for number in range(int(seconds * RATE)):
            group.create_task(ask(task_ids[number % len(task_ids)]))
            await asyncio.sleep(1 / RATE)
    return took


async def measure(key: str, task_ids: list[str], polls: int, wait: int) -> None:
    """Print how long the steady requests took, without and with the polls."""
    limits = httpx.Limits(max_connections=polls + 50, max_keepalive_connections=50)
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{API_PORT}",
        headers={"Authorization": f"Bearer {key}"},
        limits=limits,
        timeout=60,
        trust_env=False,
    ) as client:
        await steady(client, task_ids, 3)
        without = await steady(client, task_ids, wait - 5)
        waiting = [
            asyncio.create_task(client.get(f"/tasks/{task_ids[n % 50]}?wait={wait}"))
            for n in range(polls)
        ]
        # All of them wait, once their first look is answered.
        await asyncio.sleep(3)
        among = await steady(client, task_ids, wait - 5)
        if any(each.done() for each in waiting):
            raise RuntimeError("A poll ended too early to be measured.")
        for each in await asyncio.gather(*waiting):
            each.raise_for_status()
    for name, took in (("without polls", without), (f"with {polls} polls", among)):
        cuts = [1000 * each for each in quantiles(took, n=100)]
        print(f"{name:>16}: p50 {cuts[49]:6.1f} ms   p99 {cuts[98]:6.1f} ms   n={len(took)}")


def main() -> None:
    """Start what it takes, measure, and stop it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--polls", type=int, default=300)
    parser.add_argument("--wait", type=int, default=20)
    chosen = parser.parse_args()
    os.environ.update(ENVIRONMENT)

    from celeriac import clock
    from celeriac.records import TaskRecord, identifiers
    from celeriac.storage.keys import Scope, generate
    from celeriac.storage.services import services

    aws = (
        "uvicorn",
        "bench.constant_dynamodb:app",
        "--port",
        str(AWS_PORT),
        "--log-level",
        "error",
    )
    with running(f"http://127.0.0.1:{AWS_PORT}/ready", *aws):
        key = generate()
        services().keys.register(key, name="bench", tenant="bench", scopes=[Scope.ADMIN])
        now = clock.now()
        task_ids = [identifiers.new_task_id() for _ in range(50)]
        for task_id in task_ids:
            services().records.create(
                TaskRecord(
                    task_id=task_id,
                    type="long-running",
                    tenant="bench",
                    queue="default",
                    created_at=now,
                    expires_at=now // 1000 + 3600,
                    input="={}",
                )
            )
        api = ("uvicorn", "api.app:app", "--port", str(API_PORT), "--log-level", "error")
        with running(f"http://127.0.0.1:{API_PORT}/health", *api):
            asyncio.run(measure(key, task_ids, chosen.polls, chosen.wait))


if __name__ == "__main__":
    main()
