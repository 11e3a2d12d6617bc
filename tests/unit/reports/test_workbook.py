"""The workbook and the JSON have the numbers of the result."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .conftest import Make

ROWS = [
    {"date": f"2024-0{month}-28", "amount": amount, "product": product, "region": "North"}
    for month, amount, product in [
        (1, "10.25", "=cmd|' /C calc'!A0"),
        (2, "-3.5", "+1"),
        (2, "1e6", "@SUM(A1)"),
        (3, "7", "http://example.com/<b>"),
        (3, "", "nothing"),
    ]
]


def sheet_rows(sheet: Any) -> list[dict[str, Any]]:
    head, *rows = sheet.iter_rows(values_only=True)
    return [dict(zip(head, row, strict=True)) for row in rows]


def test_every_table_of_the_result_is_a_sheet(make: Make) -> None:
    """Each sheet has the rows of its table, as numbers and in order; blanks are blank."""
    made = make("sales", ROWS, top_n=2)
    book = made.workbook
    assert book.sheetnames == [
        "Summary",
        "By period",
        "Top products",
        "By product",
        "Top regions",
        "By region",
    ]
    tables = ["by_period", "top_products", "by_product", "top_regions", "by_region"]
    for sheet, name in zip(book.worksheets[1:], tables, strict=True):
        found = [list(row.values()) for row in sheet_rows(sheet)]
        assert found == [list(row.values()) for row in made.figures[name]]


def test_the_summary_has_the_key_figures(make: Make) -> None:
    """Title, period and each key figure with its growth stand on the first sheet."""
    made = make("sales", ROWS, period={"from": "2024-02-01", "to": "2024-02-29"}, currency="EUR")
    cells = [[cell.value for cell in row] for row in made.workbook["Summary"].iter_rows()]
    assert cells[0][0] == "Sales report"
    assert ["Revenue", made.figures["revenue"], made.figures["revenue_growth"]] in cells
    assert ["Refunds", -3.5, None] in cells


def test_nothing_in_a_workbook_is_a_formula_or_a_link(make: Make) -> None:
    """Text that looks like a formula or an address is text, marked as such, and unchanged."""
    made = make("sales", ROWS, title="=1+1")
    cells = {
        cell.value: cell for sheet in made.workbook for row in sheet.iter_rows() for cell in row
    }
    assert all(cell.data_type in ("s", "n") for cell in cells.values())
    assert all(cell.hyperlink is None for cell in cells.values())
    for row in ROWS[:3]:
        cell = cells[row["product"]]
        assert cell.data_type == "s"
        assert cell.quotePrefix
    assert cells["=1+1"].data_type == "s"


@pytest.mark.parametrize("language", ["en", "ru"])
def test_the_json_has_the_results_figures(make: Make, language: str) -> None:
    """The JSON file holds the same figures as the result, and what to call them."""
    made = make("sales", ROWS, language=language)
    content = json.loads(made.content(".json"))
    assert content["figures"] == made.figures
    assert content["report_type"] == "sales"
    assert content["title"] == {"en": "Sales report", "ru": "Отчёт о продажах"}[language]


def test_the_artifacts_are_what_they_are_called(make: Make) -> None:
    """Each artifact has the name, the type and the first bytes of its kind."""
    made = make("sales", ROWS)
    kinds = {each.name: each.content_type for each in made.result.artifacts}
    assert kinds == {
        "sales-report.pdf": "application/pdf",
        "sales-report.xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "sales-report.json": "application/json",
    }
    heads = {name: saved.content[:4] for name, saved in made.context.artifacts.items()}
    assert heads["sales-report.pdf"] == b"%PDF"
    assert heads["sales-report.xlsx"] == b"PK\x03\x04"
    assert made.context.steps[-1][:2] == (5, 5)


def test_figures_survive_the_result_model(make: Make) -> None:
    """Counts stay whole numbers and blanks stay null on their way through JSON."""
    made = make("sales", ROWS)
    again = type(made.result).model_validate_json(made.result.model_dump_json())
    assert again == made.result
    assert isinstance(again.figures["orders"], int)
    assert isinstance(again.figures["revenue"], float)
