"""The pages of send-email and long-running are in step with their code."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from celeriac.contract import TaskType
from tasks.long_running import long_running
from tasks.mail.names import templates
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


def kebab_strings() -> set[str]:
    """Every string in the code of send-email that has the form of an error type."""
    files = [ROOT / "tasks/send_email.py", *(ROOT / "tasks/mail").glob("*.py")]
    return {
        node.value
        for path in files
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch(r"[a-z]+(-[a-z]+)+", node.value)
    }


@pytest.mark.parametrize("task_type", TASKS, ids=lambda each: each.name)
def test_payload_and_result_are_listed_field_by_field(task_type: TaskType[Any, Any]) -> None:
    """A field that is added, renamed or removed changes the page too."""
    assert list(table(task_type.name, "Payload")) == list(task_type.payload_model.model_fields)
    assert list(table(task_type.name, "Result")) == list(task_type.result_model.model_fields)


def test_every_error_type_of_send_email_is_explained() -> None:
    """The page's errors are those that the code can raise, no more and no fewer."""
    others = {"celeriac-task-id", "send-again", "not-sent", "auto-generated"}

    assert set(table("send-email", "Errors")) == (kebab_strings() - others) | FROM_THE_CONTEXT


def test_every_template_is_listed() -> None:
    """The page's table of templates is the directory's listing."""
    assert list(table("send-email", "Templates")) == templates()


@pytest.mark.parametrize("module", ["tasks.send_email", "tasks.long_running"])
def test_importing_the_task_loads_no_heavy_library(module: str) -> None:
    """The API imports every task file to learn its models; a mail library would slow its start."""
    heavy = ("boto3", "botocore", "celeriac.settings", "jinja2", "smtplib")
    code = f"import sys, {module}; print([each for each in {heavy} if each in sys.modules])"

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("task_type", TASKS, ids=lambda each: each.name)
def test_every_example_payload_is_valid(task_type: TaskType[Any, Any]) -> None:
    """What the page shows can be pasted."""
    examples = re.findall(r"```json payload\n(.*?)```", page(task_type.name), re.DOTALL)

    assert examples
    for example in examples:
        task_type.payload_model.model_validate(json.loads(example))


@pytest.mark.parametrize("task_type", TASKS, ids=lambda each: each.name)
def test_the_policy_is_the_pages(task_type: TaskType[Any, Any]) -> None:
    """Queue, time limit and attempts on the page are the declared ones."""
    minutes = int(task_type.time_limit.total_seconds() // 60)

    assert (
        f"Queue `{task_type.queue.name}` · time limit {minutes} minutes · "
        f"{task_type.retry.attempts} attempts"
    ) in page(task_type.name)
