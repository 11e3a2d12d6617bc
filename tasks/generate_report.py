"""``generate-report``: a PDF, a workbook and JSON, computed from an uploaded data set."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, ConfigDict, StringConstraints, model_validator

from celeriac import Artifact, BaseModel, Field, Retry, TaskContext, task
from tasks.queues import REPORTS
from tasks.reports.columns import ROLES
from tasks.reports.parameters import Parameters, ReportType
from tasks.reports.pdf import Imprint, to_pdf, unshown_note
from tasks.reports.report import make_report
from tasks.reports.workbook import to_workbook
from tasks.shared.faults import Fault
from tasks.shared.guard import ceiling, in_time

Figure = int | float | str | None

STEPS = 5
# Two reports run side by side in a worker of 4 GiB, each on a database of 1 GiB.
MEMORY_BYTES = 1_792 << 20
FILE_BYTES = 4 << 30
# A task's result may have 50 MB.
FIGURES_BYTES = 40_000_000
PDF = "application/pdf"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
JSON = "application/json"


def _number_as_text(given: Any) -> Any:
    return str(given) if type(given) is int else given


ShortText = Annotated[str, StringConstraints(min_length=1, max_length=200)]
UserId = Annotated[
    ShortText, BeforeValidator(_number_as_text, json_schema_input_type=ShortText | int)
]


class GenerateReport(BaseModel):
    """The data set and the report on it. ``file_key`` is the key of the uploaded data set."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "user_id": "u-17",
                    "report_type": "sales",
                    "file_key": "uploads/0198c0de/sales.csv",
                    "parameters": {"currency": "EUR", "granularity": "month"},
                }
            ]
        },
    )

    user_id: UserId = Field(description="The reader that the report is made for.")
    report_type: ReportType
    file_key: str = Field(min_length=1, max_length=1024)
    parameters: Parameters = Field(default_factory=Parameters)

    @model_validator(mode="after")
    def _parameters_suit_the_type(self) -> Self:
        parameters, type = self.parameters, self.report_type
        roles = [role.name for role in ROLES[type]]
        unknown = sorted(set(parameters.columns) - set(roles))
        if unknown:
            raise ValueError(
                f"a {type.value} report reads no column {', '.join(unknown)}; "
                f"parameters.columns may name {', '.join(roles)}"
            )
        if type is ReportType.CUSTOM:
            if not parameters.measures:
                raise ValueError("a custom report needs parameters.measures")
        elif parameters.measures or parameters.dimensions:
            raise ValueError("parameters.measures and .dimensions are for custom reports")
        if parameters.funnel and type is not ReportType.ANALYTICS:
            raise ValueError("parameters.funnel is for analytics reports")
        return self


class GeneratedReport(BaseModel):
    """The figures of a report, and its files.

    ``figures`` has each key figure by name, and each table as a list of rows. Amounts are in the
    data's own currency; shares are fractions (0.25 is 25 %).
    """

    figures: dict[str, Figure | list[dict[str, Figure]]]
    artifacts: list[Artifact]
    notes: list[str] = Field(description="The notes of the report, in its language.")
    left_out: int = Field(description="Rows of the file that lack a required value.")
    left_out_rows: list[int] = Field(
        description="The first of them, at most 10, as data rows counted from 1."
    )
    uncomputed: int = Field(
        description="Cells of a workbook whose formula no program has computed: they have no value."
    )


@task(
    queue=REPORTS,
    time_limit=timedelta(minutes=5),
    retry=Retry(attempts=3, first_delay=timedelta(seconds=10)),
)
def generate_report(payload: GenerateReport, context: TaskContext) -> GeneratedReport:
    """Compute a sales, analytics, financial or custom report on an uploaded data set."""
    language = payload.parameters.language
    name = f"{payload.report_type.value}-report"
    context.progress(0, STEPS, "Fetching the data set")
    path = context.read_artifact(payload.file_key)
    context.progress(1, STEPS, "Computing the figures")
    with in_time(), ceiling(MEMORY_BYTES, FILE_BYTES):
        report = make_report(
            path, payload.report_type, payload.parameters, PurePosixPath(payload.file_key).name
        )
    figures = report.figures()
    size = len(json.dumps(figures, ensure_ascii=False).encode())
    if size > FIGURES_BYTES:
        raise Fault.OUTPUT_TOO_LARGE.error(
            f"The figures have {size:,} bytes; {FIGURES_BYTES:,} are allowed.",
            "Group by shorter texts.",
        )
    context.progress(2, STEPS, "Setting the PDF")
    made_at = datetime.now(UTC).replace(microsecond=0)
    imprint = Imprint(language=language, made_for=payload.user_id, made_at=made_at)
    if note := unshown_note(report, imprint):
        report = replace(report, notes=[*report.notes, note])
    pdf = to_pdf(report, imprint, context.workdir)
    context.progress(3, STEPS, "Writing the workbook")
    workbook = context.workdir / f"{name}.xlsx"
    with ceiling(MEMORY_BYTES, FILE_BYTES):
        to_workbook(report, language, workbook)
    context.progress(4, STEPS, "Saving the files")
    notes = [*([report.nothing] if report.nothing else []), *report.notes]
    details = {
        "title": report.title,
        "report_type": payload.report_type.value,
        "made_at": made_at.isoformat(),
        "figures": figures,
        "notes": notes,
    }
    content = json.dumps(details, ensure_ascii=False, indent=2).encode()
    artifacts = [
        context.save_artifact(f"{name}.pdf", pdf, content_type=PDF),
        context.save_artifact(f"{name}.xlsx", workbook, content_type=XLSX),
        context.save_artifact(f"{name}.json", content, content_type=JSON),
    ]
    context.progress(STEPS, STEPS, "Done")
    return GeneratedReport(
        figures=figures,
        artifacts=artifacts,
        notes=notes,
        left_out=report.left_out,
        left_out_rows=list(report.left_out_rows),
        uncomputed=report.uncomputed,
    )
