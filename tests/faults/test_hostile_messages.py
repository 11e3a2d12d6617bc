"""Whatever a message holds, it is dead-lettered; the worker and the task it names go on."""

from __future__ import annotations

import json
import uuid
from types import ModuleType
from typing import Any

import pytest

from celeriac import states
from celeriac.storage.services import services
from tests.faults.stack import Stack
from tests.faults.test_limits_and_poison import DEAD, dead_letters, send
from tests.integration.processes import is_alive, wait_for

DEEP = "[" * 100_000

HEADERS: list[dict[str, Any]] = [
    {"timelimit": "soon"},
    {"timelimit": ["a", "b"]},
    {"timelimit": [1]},
    {"timelimit": 5},
    {"timelimit": {"soft": 1}},
    {"stamps": 5, "stamped_headers": ["on"]},
    {"stamped_headers": "on"},
    {"retries": "many"},
    {"retries": -1},
    {"retries": []},
    {"eta": 5},
    {"expires": [1]},
    {"id": 5},
    {"id": None},
    {"id": ""},
    {"task": None},
    {"task": 5},
    {"task": []},
    {"root_id": {}},
    {"group": 7},
    {"shadow": ["x"]},
    {"celeriac": "x"},
    {"celeriac": 5},
    {"celeriac": {"attempt": "first"}},
    {"celeriac": {"attempt": 0}},
    {"celeriac": {"due": "soon"}},
    {"celeriac": {"input": 5}},
]
EMBEDDED: list[Any] = [
    {"callbacks": 7},
    {"errbacks": ["x"]},
    {"chain": [5]},
    {"chord": "x"},
    "no object",
]
BODIES = ["5", '"text"', "[]", "[1, 2]", "[1, {}, {}]", "[[], [], {}]", "{}", "null", DEEP]
TEXTS = ["", "not JSON", "[]", "5", "{}", '{"headers": 5, "body": "[]"}', DEEP, "\\u0000"]


def envelope(task_id: str, headers: dict[str, Any], body: str) -> str:
    """A message as kombu writes it, of a task that would run."""
    return json.dumps(
        {
            "headers": {"lang": "py", "id": task_id, "task": "tests.faults.app.add", **headers},
            "body": body,
            "content-type": "application/json",
            "content-encoding": "utf-8",
            "properties": {
                "correlation_id": task_id,
                "delivery_tag": task_id,
                "delivery_info": {"exchange": "", "routing_key": "default"},
                "delivery_mode": 2,
                "priority": 0,
            },
        }
    )


def messages() -> list[str]:
    good = json.dumps([[1, 2], {}, {}])
    return [
        *(envelope(str(uuid.uuid4()), each, good) for each in HEADERS),
        *(envelope(str(uuid.uuid4()), {}, json.dumps([[1, 2], {}, each])) for each in EMBEDDED),
        *(envelope(str(uuid.uuid4()), {}, body) for body in BODIES),
        *TEXTS[1:],
    ]


@pytest.mark.parametrize("pool", [None, "threads"])
def test_no_content_of_a_message_harms_its_worker(
    stack: Stack, tasks: ModuleType, pool: str | None
) -> None:
    """Each is dead-lettered as it is. The same processes run the next task."""
    worker = stack.start_worker(2, pool=pool)
    children = worker.children
    hostile = messages()
    for each in hostile:
        send(stack, each)

    left = set(hostile)

    def dead() -> bool:
        left.difference_update(each["Body"] for each in dead_letters())
        return not left

    try:
        wait_for(dead, "all to be dead-lettered", seconds=40)
    except AssertionError:
        raise AssertionError(f"not dead-lettered: {[each[:300] for each in left]}") from None

    stack.wait_for_state(stack.submit("effect"), states.SUCCESS)
    assert is_alive(worker.pid)
    assert worker.children == children
    wait_for(lambda: not any(stack.depth().values()), "the queue to be empty")


def test_a_message_of_another_type_leaves_its_task_alone(stack: Stack, tasks: ModuleType) -> None:
    """It runs nothing under the record of the task whose id it has, which then runs as it was."""
    task_id = stack.submit("effect", "another-type")
    forged = envelope(task_id, {}, json.dumps([["forged"], {}, {}])).replace(
        "tests.faults.app.add", "tests.faults.app.counting"
    )
    # The task's own message is held until the forged one is dead, however slowly the worker starts.
    url = services().settings.queue_url_prefix + "default"
    [own] = services().sqs.receive_message(QueueUrl=url, VisibilityTimeout=600)["Messages"]
    send(stack, forged)
    stack.start_worker(1)
    wait_for(lambda: stack.depth(DEAD)["visible"] == 1, "the forged message to be dead-lettered")

    services().sqs.change_message_visibility(
        QueueUrl=url, ReceiptHandle=own["ReceiptHandle"], VisibilityTimeout=0
    )

    record = stack.wait_for_state(task_id, states.SUCCESS)
    assert record.type == "effect"
    assert record.attempt == 1
    assert tasks.counted("another-type") == 1
    assert tasks.counted("forged") == 0
    [letter] = dead_letters()
    assert letter["Body"] == forged
