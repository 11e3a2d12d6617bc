"""Task types with limits, which leave evidence of when each of their runs began and ended."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from celeriac.contract import BaseModel, Debounce, Limit, Retry, TaskContext, Unique, task
from celeriac.marshalling import marshal, unmarshal
from celeriac.storage.services import services
from tasks.queues import DEFAULT


class Run(BaseModel):
    """``series`` is what the evidence is kept under; ``seconds`` is how long it takes."""

    name: str
    series: str = "runs"
    account: str = "one"
    seconds: float = 0


class Ran(BaseModel):
    """Which attempt ended."""

    attempt: int


@dataclass(frozen=True)
class Evidence:
    """One run, by the machine's clock. ``ended`` is None if it didn't live to say so."""

    worker: int
    account: str
    began: float
    ended: float | None


def run(payload: Run, context: TaskContext) -> Ran:
    """Write down the beginning, take a while, and write down the end."""
    key = {"pk": f"ran#{payload.series}", "sk": uuid.uuid4().hex}
    began = time.time()
    item = {**key, "worker": os.getppid(), "account": payload.account, "began": str(began)}
    client, table = services().dynamodb, services().settings.table_name
    client.put_item(TableName=table, Item=marshal(item))
    time.sleep(payload.seconds)
    client.put_item(TableName=table, Item=marshal({**item, "ended": str(time.time())}))
    return Ran(attempt=context.attempt)


def evidence(series: str) -> list[Evidence]:
    """All runs of a series."""
    pages = (
        services()
        .dynamodb.get_paginator("query")
        .paginate(
            TableName=services().settings.table_name,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues=marshal({":pk": f"ran#{series}"}),
            ConsistentRead=True,
        )
    )
    found = [unmarshal(item) for page in pages for item in page["Items"]]
    return [
        Evidence(
            worker=each["worker"],
            account=each["account"],
            began=float(each["began"]),
            ended=float(each["ended"]) if "ended" in each else None,
        )
        for each in found
    ]


def most_at_once(runs: Iterable[Evidence], killed: Mapping[int, float]) -> int:
    """How many ran at the same time. A run without an end has ended with its worker."""
    events: list[tuple[float, int]] = []
    for each in runs:
        ended = each.ended if each.ended is not None else killed[each.worker]
        events += [(each.began, 1), (ended, -1)]
    most = now = 0
    for _, change in sorted(events):
        now += change
        most = max(most, now)
    return most


def most_within(runs: Iterable[Evidence], window: float) -> int:
    """How many began within any window of so many seconds."""
    began = sorted(each.began for each in runs)
    return max(sum(1 for each in began if start <= each < start + window) for start in began)


LONG = timedelta(minutes=5)


@task(queue=DEFAULT, time_limit=LONG, retry=Retry(attempts=10), max_running=5)
def five_at_once(payload: Run, context: TaskContext) -> Ran:
    """Run, five at once."""
    return run(payload, context)


@task(queue=DEFAULT, time_limit=LONG, rate="10/s")
def ten_a_second(payload: Run, context: TaskContext) -> Ran:
    """Run, ten a second."""
    return run(payload, context)


@task(
    queue=DEFAULT,
    time_limit=LONG,
    limits=(Limit(max_running=1, key=("account",)), Limit(rate="5/s", per="tenant", burst=5)),
)
def one_an_account(payload: Run, context: TaskContext) -> Ran:
    """Run, one of each account at once, and five a second of each tenant."""
    return run(payload, context)


@task(queue=DEFAULT, time_limit=LONG, unique_for=Unique(key=("name",)))
def only_one(payload: Run, context: TaskContext) -> Ran:
    """Run, one of each name at once."""
    return run(payload, context)


@task(
    queue=DEFAULT,
    time_limit=LONG,
    debounce=Debounce(timedelta(seconds=2), key=("series",), max_wait=timedelta(seconds=5)),
)
def settled(payload: Run, context: TaskContext) -> Ran:
    """Run, once nobody has submitted another for two seconds."""
    return run(payload, context)


@task(queue=DEFAULT, time_limit=LONG, debounce=timedelta(minutes=1))
def much_later(payload: Run, context: TaskContext) -> Ran:
    """Run, once nobody has submitted another for a minute."""
    return run(payload, context)


TYPES = [five_at_once, ten_a_second, one_an_account, only_one, settled, much_later]
