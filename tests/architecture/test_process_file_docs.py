"""The page of process-file is in step with its code."""

from __future__ import annotations

from typing import Any

import pytest

from celeriac.contract import BaseModel
from tasks.files import limits
from tasks.files.metadata import FileMetadata
from tasks.files.operations import Compress, Convert, ExtractMetadata, Thumbnail, Validate
from tasks.process_file import MadeFile, ProcessedFile, ProcessFile, process_file
from tests.architecture.pages import ROOT, raised_faults, tables

PAGE = ROOT / "docs/tasks/process-file.md"
PAYLOAD, OPERATIONS, RESULT, METADATA, LIMITS, _, ERRORS = tables(PAGE)
OPTIONS: dict[str, type[BaseModel]] = {
    "validate": Validate,
    "extract_metadata": ExtractMetadata,
    "compress": Compress,
    "convert": Convert,
    "thumbnail": Thumbnail,
}
# For all files, and so named in a sentence.
COMMON = {"name", "content_type", "size", "sha256"}


def first_cells(table: list[list[str]]) -> list[str]:
    return [row[0].strip("` ") for row in table]


def blocks(kind: str) -> list[str]:
    return [each.partition("\n```")[0] for each in PAGE.read_text().split(f"```json {kind}\n")[1:]]


def test_every_error_has_its_row() -> None:
    """Every error type that the code raises is on the page, in the code's words, and no other."""
    files = [
        ROOT / "tasks/process_file.py",
        *(each for each in (ROOT / "tasks/shared").glob("*.py") if each.name != "faults.py"),
        *(ROOT / "tasks/files").glob("*.py"),
    ]
    assert [[cell.strip("| ") for cell in row] for row in ERRORS[1:]] == [
        [f"`{fault.type}`", fault.when, fault.remedy] for fault in raised_faults(*files)
    ]
    assert first_cells(ERRORS)[0] == "artifact-not-found"


def test_payload_and_result_are_listed_field_by_field() -> None:
    """A field that is added, renamed or removed changes the page too."""
    assert first_cells(PAYLOAD) == list(ProcessFile.model_fields)
    assert first_cells(RESULT) == list(ProcessedFile.model_fields)
    assert set(first_cells(METADATA)) == set(FileMetadata.model_fields) - COMMON
    assert all(f"`{name}`" in RESULT[-1][1] for name in MadeFile.model_fields)


@pytest.mark.parametrize("row", OPERATIONS, ids=lambda row: row[0].strip("|` "))
def test_every_option_of_an_operation_is_named(row: list[str]) -> None:
    """With its default where it has one."""
    for name, field in OPTIONS[row[0].strip("|` ")].model_fields.items():
        assert f"`{name}`" in row[1]
        if isinstance(field.default, int) and not isinstance(field.default, bool):
            assert str(field.default) in row[1]


@pytest.mark.parametrize("payload", blocks("payload"))
def test_the_examples_are_valid_payloads(payload: str) -> None:
    """The endpoint accepts each example as it stands."""
    assert ProcessFile.model_validate_json(payload).operations.requested()


@pytest.mark.parametrize("result", blocks("result"))
def test_the_result_shown_is_one_that_the_task_can_give(result: str) -> None:
    """Field by field, with nothing that the model doesn't have."""
    shown: dict[str, Any] = ProcessedFile.model_validate_json(result).model_dump(exclude_unset=True)

    assert shown == ProcessedFile.model_validate(shown).model_dump(exclude_unset=True)
    assert [each["operation"] for each in shown["artifacts"]] == [
        "compress",
        "convert",
        "thumbnail",
    ]


def test_the_limits_are_the_codes() -> None:
    """Each number in the table is the one that the code goes by."""
    mib = limits.MIB
    assert [row[1].strip(" |") for row in LIMITS] == [
        f"{limits.IMAGE_BYTES // mib} MiB each",
        f"{limits.STREAMED_BYTES // limits.GIB} GiB",
        f"{limits.JSON_BYTES // mib} MiB",
        f"{limits.IMAGE_PIXELS:,}",
        f"{limits.IMAGE_FRAMES}, and {limits.ALL_FRAMES_PIXELS:,} pixels in all",
        f"{limits.PDF_PAGES:,}",
        (
            f"{limits.PDF_STREAM_BYTES // mib} MiB; all streams "
            f"{limits.PDF_ALL_STREAMS_BYTES // limits.GIB} GiB"
        ),
        (
            f"{limits.ZIP_ALL_BYTES // limits.GIB} GiB in {limits.ZIP_ENTRIES:,} entries, "
            f"{limits.ZIP_RATIO} times its size, {limits.ZIP_NESTING} deep"
        ),
        f"{limits.TABLE_COLUMNS:,}",
        f"{limits.TABLE_ROWS:,}",
        f"{limits.TABLE_LINE_BYTES // mib} MiB",
        f"{limits.SHEET_ROWS - 1:,} rows, {limits.SHEET_CELLS:,} cells",
        f"{limits.OUTPUT_BYTES // limits.GIB} GiB",
    ]
    assert limits.IMAGE_BYTES == limits.PDF_BYTES


def test_the_declaration_is_told() -> None:
    """Queue, time limit and attempts are under the title."""
    minutes = process_file.time_limit.total_seconds() / 60
    line = (
        f"Queue `{process_file.queue.name}` · time limit {minutes:g} minutes · "
        f"{process_file.retry.attempts} attempts"
    )
    assert line in PAGE.read_text()
