"""The pages of send-email and long-running are in step with their code."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from tasks.contract import TaskType
from tasks.long_running import long_running
from tasks.send_email import send_email

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "tasks"
TASKS = [long_running, send_email]

# What the context raises for the task: see TaskContext.read_artifact.
FROM_THE_CONTEXT = {"artifact-not-found"}


def page(name: str) -> str:
    return (PAGES / f"{name}.md").read_text("utf-8")


def table(name: str, heading: str) -> dict[str, str]:
    """The rows of the table under a heading: first cell, without back-ticks, to the rest."""
    section = page(name).partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([^`]+)` \|(.*)\|$", section, re.MULTILINE)
    return dict(rows)


def error_types() -> set[str]:
    """Every ``type="…"`` given to an error, every default, and SES's table of refusals."""
    found: set[str] = set()
    for path in [ROOT / "tasks/send_email.py", *(ROOT / "celeriac/mail").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                parent_strings = re.fullmatch(r"[a-z]+(-[a-z]+)+", node.value)
                if parent_strings:
                    found.add(node.value)
    return found


@pytest.mark.parametrize("task_type", TASKS, ids=lambda each: each.name)
def test_payload_and_result_are_listed_field_by_field(task_type: TaskType) -> None:
    """A field that is added, renamed or removed changes the page too."""
    assert list(table(task_type.name, "Payload")) == list(task_type.payload_model.model_fields)
    assert list(table(task_type.name, "Result")) == list(task_type.result_model.model_fields)


def test_every_error_type_of_send_email_is_explained() -> None:
    """The page's errors are those that the code can raise, no more and no fewer."""
    not_types = {"celeriac-task-id", "send-again", "not-sent", "auto-generated"}

    assert set(table("send-email", "Errors")) == (error_types() - not_types) | FROM_THE_CONTEXT


@pytest.mark.parametrize("task_type", TASKS, ids=lambda each: each.name)
def test_every_example_payload_is_valid(task_type: TaskType) -> None:
    """What the page shows can be pasted."""
    examples = re.findall(r"```json payload\n(.*?)```", page(task_type.name), re.DOTALL)

    assert examples
    for example in examples:
        task_type.payload_model.model_validate(json.loads(example))


@pytest.mark.parametrize("task_type", TASKS, ids=lambda each: each.name)
def test_the_policy_is_the_pages(task_type: TaskType) -> None:
    """Queue, time limit and attempts on the page are the declared ones."""
    minutes = int(task_type.time_limit.total_seconds() // 60)

    assert (
        f"Queue `{task_type.queue.queue_name}` · time limit {minutes} minutes · "
        f"{task_type.retry.attempts} attempts"
    ) in page(task_type.name)
