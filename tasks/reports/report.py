"""From a file to a report: find the columns, read them, compute the figures, add notes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tasks.reports.analytics import analytics
from tasks.reports.columns import ROLES, Role, find_columns
from tasks.reports.custom import columns_of, conditions, custom
from tasks.reports.dataset import opened
from tasks.reports.document import Content, KeyFigure, Report
from tasks.reports.facts import Facts, gather
from tasks.reports.financial import financial
from tasks.reports.labels import Labels
from tasks.reports.locale import Formats
from tasks.reports.parameters import Parameters, ReportType
from tasks.reports.period import Span
from tasks.reports.sales import sales

_CONTENT: dict[ReportType, Callable[[Facts, Parameters, Labels], Content]] = {
    ReportType.SALES: sales,
    ReportType.ANALYTICS: analytics,
    ReportType.FINANCIAL: financial,
    ReportType.CUSTOM: custom,
}


def make_report(
    path: Path, report_type: ReportType, parameters: Parameters, name: str | None = None
) -> Report:
    """Compute a report on a file, which its sender calls ``name``. Other files go next to it.

    Raises:
        PermanentError: with the type of a ``Fault``.
    """
    labels = Labels(parameters.language)
    formats = Formats(parameters.language, parameters.currency)
    with opened(path, parameters, name or path.name) as file:
        roles = _roles(report_type, parameters)
        found = find_columns(roles, parameters.columns, file.columns)
        data = file.load([*found.values(), *columns_of(parameters, file.columns)])
        facts = gather(data, found, conditions(data, parameters), parameters)
        key_figures, sections, notes = _CONTENT[report_type](facts, parameters, labels)
        notes += _compared(key_figures, facts.span, labels, formats)
        notes += _notes(facts, parameters, labels)
        if file.uncomputed:
            notes.append(labels("uncomputed", count=file.uncomputed))
    return Report(
        title=parameters.title or labels(report_type.value),
        span=facts.span,
        currency=parameters.currency,
        rows=facts.rows,
        key_figures=key_figures,
        sections=sections,
        notes=notes,
        left_out=facts.left_out,
        left_out_rows=facts.left_out_rows,
        uncomputed=file.uncomputed,
        nothing=_nothing(facts, labels, formats),
    )


def _roles(report_type: ReportType, parameters: Parameters) -> list[Role]:
    roles = ROLES[report_type]
    if report_type is not ReportType.CUSTOM:
        return list(roles)
    period = parameters.period
    dated = period.first or period.last or "date" in parameters.columns
    # A custom report needs dates only to select the rows in its period.
    return [replace(role, required=True) for role in roles] if dated else []


def _notes(facts: Facts, parameters: Parameters, labels: Labels) -> list[str]:
    notes = []
    asked = parameters.period.first or parameters.period.last
    if facts.steps and asked and facts.span and facts.span.cuts_a_step(facts.granularity):
        notes.append(labels("cut_steps", step=labels(facts.granularity.value)))
    if facts.left_out:
        notes.append(_left_out(facts, labels))
    return notes


def _left_out(facts: Facts, labels: Labels) -> str:
    rows = ", ".join(map(str, facts.left_out_rows))
    more = ", …" if facts.left_out > len(facts.left_out_rows) else ""
    return labels("left_out", count=facts.left_out, rows=rows + more)


def _compared(
    figures: list[KeyFigure], span: Span | None, labels: Labels, formats: Formats
) -> list[str]:
    if span is None or all(each.growth is None for each in figures):
        return []
    before = span.previous
    return [labels("previous", first=formats.day(before.first), last=formats.day(before.last))]


def _nothing(facts: Facts, labels: Labels, formats: Formats) -> str | None:
    if facts.rows:
        return None
    if facts.file_span is None:
        return labels("empty_rows")
    span = facts.file_span
    return labels("empty_file", first=formats.day(span.first), last=formats.day(span.last))
