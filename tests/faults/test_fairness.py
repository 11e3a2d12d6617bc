"""One tenant floods a queue: the others' tasks begin about as soon as without it."""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from statistics import median, quantiles
from types import ModuleType

from celeriac.http.app import create_app
from celeriac.operations.lookup import outcome_of
from celeriac.operations.submit_many import Item, submit_many
from celeriac.settings import settings
from celeriac.storage.keys import Scope
from tests.faults.stack import Stack
from tests.integration.api.conftest import Api
from tests.integration.processes import wait_for

TENANTS = 50
FLOOD = 5_000
AT_ONCE = 500
#: How long each task takes.
SECONDS = 0.4
#: The others' bursts, and the seconds from one to the next: they use about 40 % of the workers.
BURSTS, EVERY = 4, 6.0
WORKERS, PROCESSES = 2, 4
TASK = {"name": "fair", "seconds": SECONDS}


def burst(stack: Stack, others: list[Api]) -> list[float]:
    """Each of the others submits a task; how many seconds each task waited for a process."""

    def submit(other: Api) -> str:
        answer = other.post("/tasks/timed", json=TASK)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["task_id"])

    began_at = time.monotonic()
    with ThreadPoolExecutor(8) as callers:
        task_ids = list(callers.map(submit, others))
    records = stack.wait_for_all(task_ids, seconds=60)
    wait_for(lambda: time.monotonic() - began_at > EVERY, "the next burst", EVERY)
    return [outcome_of(each)["at"] - each.created_at / 1000 for each in records.values()]


def typical(waits: list[float]) -> tuple[float, float]:
    """The median and the 95th percentile."""
    return median(waits), quantiles(waits, n=20)[-1]


def test_a_flood_of_one_tenant_at_most_doubles_the_others_wait(
    stack: Stack, tasks: ModuleType
) -> None:
    """Median and 95th percentile of 49 tenants, while the fiftieth has 5,000 tasks in the queue.

    The flood's tasks aren't all run: the queue is emptied once the others have been measured.
    """
    app = create_app(settings(), tasks.TYPES)
    others = [Api.of(app, scopes=[Scope.SUBMIT]) for _ in range(TENANTS - 1)]
    for _ in range(WORKERS):
        stack.start_worker(PROCESSES)
    burst(stack, others)  # the workers learn how long tasks take
    calm = typical([wait for _ in range(BURSTS) for wait in burst(stack, others)])

    flooder = f"flooder-{uuid.uuid4().hex[:12]}"
    for _ in range(FLOOD // AT_ONCE):
        submit_many("timed", [Item(TASK)] * AT_ONCE, tenant=flooder, app=stack.caller)
    flooded = typical([wait for _ in range(BURSTS) for wait in burst(stack, others)])

    # Shown by pytest for a test that failed, and with -s.
    print(f"median and 95th percentile, in seconds: calm {calm}, flooded {flooded}")
    assert stack.depth()["visible"] > FLOOD / 2, "the flood was over"
    assert flooded[0] <= 2 * calm[0]
    assert flooded[1] <= 2 * calm[1]
