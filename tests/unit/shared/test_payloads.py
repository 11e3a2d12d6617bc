"""Payloads: the tutorial's own work, and none is unbounded or slow to refuse."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from pydantic import ValidationError

from celeriac import TaskType
from tasks.cleanup import cleanup
from tasks.generate_report import GenerateReport, generate_report
from tasks.long_running import long_running
from tasks.process_file import ProcessFile, process_file
from tasks.send_email import send_email

TYPES: list[TaskType[Any, Any]] = [
    cleanup,
    generate_report,
    long_running,
    process_file,
    send_email,
]


def test_a_file_may_be_named_by_its_path_alone() -> None:
    """``file_path`` is the key; without operations, the file is checked and described."""
    payload = ProcessFile.model_validate({"file_path": "files/1/a.csv"})

    assert payload.file_key == "files/1/a.csv"
    assert set(payload.operations.requested()) == {"validate", "extract_metadata"}


def test_a_user_may_be_a_number() -> None:
    """An id of a database is a number, and is shown as one."""
    report = {"user_id": 7, "report_type": "sales", "file_key": "k"}

    assert GenerateReport.model_validate(report).user_id == "7"
    for wrong in (True, 1.5, None, ""):
        with pytest.raises(ValidationError, match="user_id"):
            GenerateReport.model_validate({**report, "user_id": wrong})


@pytest.mark.parametrize(
    "zone", ["localtime", "posix/Europe/Berlin", "right/UTC", "Europe/../UTC", "x" * 9_999, "a\0b"]
)
def test_a_zone_is_one_that_the_database_knows_too(zone: str) -> None:
    """Files next to the zones are none: they would fail in the worker."""
    report = {"user_id": 7, "report_type": "sales", "file_key": "k"}
    with pytest.raises(ValidationError, match="time_zone"):
        GenerateReport.model_validate({**report, "parameters": {"time_zone": zone}})


@pytest.mark.parametrize("pattern", ["%d%m%d", "%m/%Y", "%Y", "%H:%M", "%d.%m.%Y %d"])
def test_a_date_format_tells_a_whole_date(pattern: str) -> None:
    """A pattern that lacks a part of the date, or has it twice, is refused."""
    report = {"user_id": 7, "report_type": "sales", "file_key": "k"}
    with pytest.raises(ValidationError, match="date_format"):
        GenerateReport.model_validate({**report, "parameters": {"date_format": pattern}})


def unbounded(schema: Any, where: str) -> Iterator[str]:
    """The places of a JSON Schema at which a list, a map or a text has no largest size."""
    if isinstance(schema, list):
        for index, each in enumerate(schema):
            yield from unbounded(each, f"{where}[{index}]")
    if not isinstance(schema, dict):
        return
    match schema.get("type"):
        case "array" if "maxItems" not in schema:
            yield where
        case "object" if schema.get("additionalProperties") and "maxProperties" not in schema:
            yield where
        case "string" if not {"maxLength", "enum", "const", "format"} & schema.keys():
            # A pattern without repetition has a length of its own.
            if set("*+") & set(schema.get("pattern", "*")):
                yield where
    for key, each in schema.items():
        if key not in ("examples", "default", "enum"):
            yield from unbounded(each, f"{where}.{key}")


@pytest.mark.parametrize("task_type", TYPES, ids=lambda each: each.name)
def test_every_list_map_and_text_of_a_payload_has_a_largest_size(
    task_type: TaskType[Any, Any],
) -> None:
    """Without one, a body of a megabyte makes a million errors, or a million objects."""
    assert list(unbounded(task_type.payload_model.model_json_schema(), task_type.name)) == []


def with_text(example: Any, text: str) -> Iterator[Any]:
    """An example, each time with another one of its texts replaced."""
    if isinstance(example, str):
        yield text
    if isinstance(example, dict):
        for key, each in example.items():
            yield from ({**example, key: made} for made in with_text(each, text))
    if isinstance(example, list):
        for index, each in enumerate(example):
            for made in with_text(each, text):
                yield [*example[:index], made, *example[index + 1 :]]


@pytest.mark.parametrize("task_type", TYPES, ids=lambda each: each.name)
@pytest.mark.parametrize("unit", ["=?a", "%d", "a@", "[", " \t", "é", "a-", "Europe/"])
def test_no_text_of_a_payload_takes_long_to_check(task_type: TaskType[Any, Any], unit: str) -> None:
    """Any text of a payload, at the size of the largest body, is checked in linear time."""
    text = unit * (4_000_000 // len(unit))
    for example in task_type.payload_model.model_json_schema()["examples"]:
        for payload in with_text(example, text):
            started = time.thread_time()
            with suppress(ValidationError):
                task_type.payload_model.model_validate(payload)
            assert time.thread_time() - started < 2
