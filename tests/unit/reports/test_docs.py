"""docs/tasks/generate-report.md says what the code does."""

from __future__ import annotations

import json
import re

import pytest

from tasks.generate_report import GenerateReport
from tasks.reports.columns import ROLES
from tasks.reports.parameters import Function, Operator, Parameters, ReportType
from tests.architecture.pages import ROOT, raised_faults

PAGE = ROOT / "docs" / "tasks" / "generate-report.md"
TEXT = PAGE.read_text(encoding="utf-8")


def section(heading: str) -> str:
    """The text under a heading, up to the next one."""
    found = re.search(rf"^#+ {heading}\n(.*?)(?=^#+ |\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert found, f"the page has no heading {heading!r}"
    return found[1]


def table(text: str) -> list[list[str]]:
    """The cells of a Markdown table, without its head."""
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def test_the_table_of_errors_is_the_codes() -> None:
    """Every error type that the code raises is on the page, in the code's words, and no other."""
    readers = set((ROOT / "tasks/shared").glob("*.py")) - {ROOT / "tasks/shared/faults.py"}
    files = [*readers, *(ROOT / "tasks/reports").glob("*.py")]
    assert [(row[0].strip("`"), row[1]) for row in table(section("Errors"))] == [
        ("artifact-not-found", "There is no file under `file_key`."),
        *((fault.type, fault.when) for fault in raised_faults(*files)),
    ]


@pytest.mark.parametrize("report_type", ReportType)
def test_each_types_columns_are_the_codes(report_type: ReportType) -> None:
    """The columns of a type, the names they are found by, and which are needed are on the page."""
    rows = table(section(report_type.value))
    assert [(row[0].strip("`"), row[1], row[2] == "yes") for row in rows] == [
        (role.name, ", ".join(role.names), role.required) for role in ROLES[report_type]
    ]


def test_every_parameter_is_on_the_page() -> None:
    """Each parameter has a row of its own, or shares one."""
    named = {name for row in table(section("Payload")) for name in re.findall(r"`(\w+)`", row[0])}
    assert named == set(Parameters.model_fields)


def test_every_function_and_operator_is_on_the_page() -> None:
    """What a custom report may be asked for is listed in full."""
    text = section("custom")
    assert all(f"`{each.value}`" in text for each in [*Function, *Operator])


def test_the_examples_are_payloads() -> None:
    """Each payload on the page is one that the endpoint takes."""
    examples = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)]
    payloads = [example for example in examples if "report_type" in example]
    assert len(payloads) == 2
    for payload in payloads:
        GenerateReport.model_validate(payload)


def test_the_picture_is_there_and_light() -> None:
    """The page shows a picture, of a size that loads at once."""
    (name,) = re.findall(r"!\[[^]]+\]\((.+?)\)", TEXT)
    picture = (PAGE.parent / name).read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < 200_000
