"""Make a report as a worker would, on a file the test writes."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import openpyxl
import pypdf
import pytest

from celeriac.testing.context import FakeContext
from tasks.generate_report import GeneratedReport, GenerateReport, generate_report

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Made:
    """What came of a report: its result, and its files as their readers see them."""

    result: GeneratedReport
    context: FakeContext

    @property
    def figures(self) -> dict[str, Any]:
        return dict(self.result.figures)

    def table(self, name: str, key: str) -> dict[Any, dict[str, Any]]:
        """The rows of a table by one of their columns."""
        return {row[key]: row for row in self.figures[name]}

    def content(self, suffix: str) -> bytes:
        (name,) = (name for name in self.context.artifacts if name.endswith(suffix))
        return self.context.artifacts[name].content

    @property
    def pdf(self) -> pypdf.PdfReader:
        return pypdf.PdfReader(BytesIO(self.content(".pdf")))

    @property
    def pages(self) -> list[str]:
        """The text of each page, with plain spaces and no invisible characters."""
        return [plain_spaces(page.extract_text()) for page in self.pdf.pages]

    @property
    def text(self) -> str:
        return "\n".join(self.pages)

    @property
    def workbook(self) -> openpyxl.Workbook:
        return openpyxl.load_workbook(BytesIO(self.content(".xlsx")))


def plain_spaces(text: str) -> str:
    return text.replace("\u00a0", " ").replace("\u202f", " ").replace("\u200b", "")


Make = Callable[..., Made]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """``make("sales", rows_or_path, top_n=3)``: the keywords are the payload's parameters."""

    def make(report_type: str, data: Rows | Path, **parameters: Any) -> Made:
        path = data if isinstance(data, Path) else write_csv(tmp_path / "data.csv", data)
        workdir = tmp_path / "work"
        workdir.mkdir(exist_ok=True)
        context = FakeContext(workdir=workdir, files={"files/1/data": path})
        payload = GenerateReport.model_validate(
            {
                "user_id": "u-17",
                "report_type": report_type,
                "file_key": "files/1/data",
                "parameters": parameters,
            }
        )
        return Made(generate_report(payload, context), context)

    return make


def write_csv(path: Path, rows: Rows, **options: Any) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), **options)
        writer.writeheader()
        writer.writerows(rows)
    return path
