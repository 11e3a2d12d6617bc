"""What a caller may and may not ask for."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from celeriac.contract import Cancelled
from celeriac.testing.context import FakeContext
from tasks.generate_report import GenerateReport, generate_report


def payload(report_type: str = "sales", **parameters: Any) -> dict[str, Any]:
    return {
        "user_id": "u",
        "report_type": report_type,
        "file_key": "files/1/a.csv",
        "parameters": parameters,
    }


COUNT = [{"function": "count"}]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (payload("weather"), "'sales', 'analytics', 'financial' or 'custom'"),
        (payload(language="de"), "'en' or 'ru'"),
        (payload(langauge="en"), "Extra inputs are not permitted"),
        (payload(currency="euro"), "pattern"),
        (payload(top_n=0), "greater than or equal to 1"),
        (payload(time_zone="Mars/Olympus"), "Europe/Berlin"),
        (payload(time_zone="../../etc/passwd"), "not a time zone"),
        (payload(period={"from": "2024-02-01", "to": "2024-01-01"}), "before it begins"),
        (payload(period={"from": "2024-02-30"}), "valid date"),
        (payload(columns={"amuont": "x"}), "reads no column amuont"),
        (payload(measures=COUNT), "for custom reports"),
        (payload(funnel=["a"]), "for analytics reports"),
        (payload(date_format="'); DROP TABLE data --"), "pattern"),
        (payload(date_format="%d.%Q"), "pattern"),
        (payload("custom"), "needs parameters.measures"),
        (payload("custom", measures=[{"function": "sum"}]), "sum needs a column"),
        (payload("custom", measures=[{"function": "exec", "column": "a"}]), "'sum'"),
        (payload("custom", measures=COUNT * 7), "at most 6"),
        (payload("custom", measures=COUNT, dimensions=[{"column": "a", "by": "hour"}]), "'day'"),
        (
            payload("custom", measures=COUNT, filters=[{"column": "a", "operator": "or 1=1"}]),
            "'eq'",
        ),
        (payload("custom", measures=COUNT, filters=[{"column": "a"}]), "eq needs a value"),
        (
            payload("custom", measures=COUNT, filters=[{"column": "a", "value": ["x"]}]),
            "eq takes no list",
        ),
        (
            payload("custom", measures=COUNT, filters=[{"column": "a", "value": float("inf")}]),
            "less than",
        ),
        (
            payload(
                "custom",
                measures=COUNT,
                filters=[{"column": "a", "operator": "is_null", "value": 1}],
            ),
            "is_null takes no value",
        ),
    ],
)
def test_a_wrong_payload_is_refused_before_it_is_queued(wrong: dict[str, Any], says: str) -> None:
    """What can be seen to be wrong without the file is a validation error that names the fix."""
    with pytest.raises(ValidationError) as caught:
        GenerateReport.model_validate(wrong)
    assert says in str(caught.value)


def test_parameters_may_be_left_out() -> None:
    """The least payload is a user, a type and a file."""
    least = {"user_id": "u", "report_type": "sales", "file_key": "files/1/a.csv"}
    assert GenerateReport.model_validate(least).parameters.language == "en"


def test_a_payload_survives_the_queue() -> None:
    """A payload is the same after it was JSON, the period's from and to included."""
    full = payload(
        "custom",
        period={"from": "2024-01-01", "to": "2024-12-31"},
        dimensions=[{"column": "a", "by": "month"}],
        measures=[{"function": "sum", "column": "b"}],
        filters=[{"column": "c", "operator": "in", "value": [1, "x", True]}],
    )
    first = GenerateReport.model_validate(full)
    again = GenerateReport.model_validate_json(first.model_dump_json())
    assert again == first
    by_alias = GenerateReport.model_validate_json(first.model_dump_json(by_alias=True))
    assert by_alias == first


def test_a_cancelled_report_stops(tmp_path: Any) -> None:
    """A caller's cancellation ends the report and saves nothing."""
    context = FakeContext(workdir=tmp_path, cancelled=True)
    with pytest.raises(Cancelled):
        generate_report(GenerateReport.model_validate(payload()), context)
    assert context.artifacts == {}


def test_learning_the_models_loads_no_heavy_library() -> None:
    """The API imports the task's file for its models, and pays for no library that only works."""
    heavy = ["duckdb", "typst", "openpyxl", "xlsxwriter", "celeriac.app", "boto3"]
    code = f"import sys, tasks.generate_report; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "[]"
