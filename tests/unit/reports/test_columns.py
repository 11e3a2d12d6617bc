"""Finding a report's columns in a file, and saying what is missing."""

from __future__ import annotations

import pytest

from celeriac.contract import PermanentError
from tasks.reports.columns import ROLES, Role
from tasks.reports.parameters import ReportType

from .conftest import Make

REQUIRED = [(type, role) for type, roles in ROLES.items() for role in roles if role.required]


@pytest.mark.parametrize(("report_type", "role"), REQUIRED)
def test_a_missing_column_is_named_and_the_files_columns_listed(
    make: Make, report_type: ReportType, role: Role
) -> None:
    """Without a required column the error says which, and what the file has instead."""
    row = {each.name: "2024-01-01" for each in ROLES[report_type] if each != role} | {"Extra": "x"}
    with pytest.raises(PermanentError) as caught:
        make(report_type.value, [row])
    assert caught.value.type == "missing-column"
    assert repr(role.name) in caught.value.detail
    assert f"parameters.columns.{role.name}" in caught.value.detail
    assert all(repr(name) in caught.value.detail for name in row)


def test_a_mapping_names_the_files_columns(make: Make) -> None:
    """Columns of any name are used, whatever their case, when the caller maps them."""
    rows = [{"Booked At": "2024-01-01", "NET": "5", "amount": "100"}]
    made = make("sales", rows, columns={"date": "Booked At", "amount": "net"})
    assert made.figures["revenue"] == 5


def test_a_mapping_to_no_column_is_an_error_even_for_an_optional_one(make: Make) -> None:
    """A column the caller asked for is never silently left out."""
    rows = [{"date": "2024-01-01", "amount": "5"}]
    with pytest.raises(PermanentError) as caught:
        make("sales", rows, columns={"region": "Area"})
    assert caught.value.type == "missing-column"
    assert "'Area'" in caught.value.detail
    assert "parameters.columns.region" in caught.value.detail


@pytest.mark.parametrize(
    "headers", [("amount", "сумма"), ("Amount", "AMOUNT"), ("amount", "amount")]
)
def test_two_columns_for_one_role_are_ambiguous(
    make: Make, tmp_path_factory: pytest.TempPathFactory, headers: tuple[str, str]
) -> None:
    """Synonyms, names that differ by case, and the same header twice need the caller's word."""
    path = tmp_path_factory.mktemp("file") / "data.csv"
    path.write_text(f"date,{','.join(headers)}\n2024-01-01,1,2\n", encoding="utf-8")
    with pytest.raises(PermanentError) as caught:
        make("sales", path)
    assert caught.value.type == "ambiguous-column"
    assert all(repr(header) in caught.value.detail for header in headers)


def test_an_exact_name_wins_over_one_of_another_case(make: Make) -> None:
    """A header that is written exactly as asked for needs no choice."""
    rows = [{"date": "2024-01-01", "amount": "1", "AMOUNT": "2"}]
    assert make("sales", rows).figures["revenue"] == 1
    assert make("sales", rows, columns={"amount": "AMOUNT"}).figures["revenue"] == 2


def test_optional_sections_come_with_their_columns(make: Make) -> None:
    """A sales file without products has no product section, and is a report all the same."""
    made = make("sales", [{"date": "2024-01-01", "amount": "1", "region": "North"}])
    assert "by_region" in made.figures
    assert "by_product" not in made.figures
