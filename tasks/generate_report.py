"""``generate-report``: a report a manager would forward, computed from an uploaded data set."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Self

from pydantic import model_validator

from tasks.contract import Artifact, BaseModel, Field, Queue, Retry, TaskContext, task
from tasks.reports.columns import ROLES
from tasks.reports.parameters import Parameters, ReportType
from tasks.reports.pdf import Imprint, to_pdf
from tasks.reports.report import make_report
from tasks.reports.workbook import to_workbook

Figure = int | float | str | None

STEPS = 5
PDF = "application/pdf"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
JSON = "application/json"


class GenerateReport(BaseModel):
    """What to report on. ``file_key`` is the key that uploading the data set gave."""

    user_id: str = Field(min_length=1, max_length=200, description="Whom the report is made for.")
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
    """The numbers, and the files that show them.

    ``figures`` has each key figure by name, and each table as a list of rows. Amounts are in the
    data's own currency, shares are fractions (0.25 is 25 %).
    """

    figures: dict[str, Figure | list[dict[str, Figure]]]
    artifacts: list[Artifact]


@task(
    queue=Queue.REPORTS,
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
    report = make_report(path, payload.report_type, payload.parameters, context.workdir)
    figures = report.figures()
    context.progress(2, STEPS, "Setting the PDF")
    made_at = datetime.now(UTC).replace(microsecond=0)
    imprint = Imprint(language=language, made_for=payload.user_id, made_at=made_at)
    pdf = to_pdf(report, imprint, context.workdir)
    context.progress(3, STEPS, "Writing the workbook")
    workbook = context.workdir / f"{name}.xlsx"
    to_workbook(report, language, workbook)
    context.progress(4, STEPS, "Saving the files")
    details = {
        "title": report.title,
        "report_type": payload.report_type.value,
        "made_at": made_at.isoformat(),
        "figures": figures,
        "notes": [*([report.nothing] if report.nothing else []), *report.notes],
    }
    content = json.dumps(details, ensure_ascii=False, indent=2).encode()
    artifacts = [
        context.save_artifact(f"{name}.pdf", pdf, content_type=PDF),
        context.save_artifact(f"{name}.xlsx", workbook, content_type=XLSX),
        context.save_artifact(f"{name}.json", content, content_type=JSON),
    ]
    context.progress(STEPS, STEPS, "Done")
    return GeneratedReport(figures=figures, artifacts=artifacts)
