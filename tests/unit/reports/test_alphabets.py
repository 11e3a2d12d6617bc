"""Names in every alphabet are on the page, or marked and said; numbers of any size fit."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence

import openpyxl
import pytest

from tasks.reports import glyphs
from tasks.reports.glyphs import MARK, unshown
from tasks.reports.locale import clean
from tasks.reports.pdf import PAGE_UPRIGHT, PAGE_WIDE, _size

from .conftest import Make

NAMES = ["北京銀行", "東京タワー", "서울특별시", "กรุงเทพ", "😀 Smile", "שלום", "हिन्दी"]


def rows(names: Sequence[str], amount: str = "5") -> list[dict[str, str]]:
    return [{"date": "2024-01-01", "amount": amount, "product": name} for name in names]


@pytest.mark.parametrize("name", NAMES)
def test_no_name_is_blank(make: Make, name: str) -> None:
    """Each character is set in a font that has it, or shows a mark that a note explains."""
    made = make("sales", rows([name]))

    missing = unshown([name])
    shown = "".join(MARK if each in missing else each for each in name)
    assert shown.split()[0][:2] in made.text
    assert any(MARK in note for note in made.result.notes) == bool(missing)


def test_without_other_fonts_each_character_is_marked_and_said(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the packages of fonts are missing, nothing is blank, and the workbook has the names."""
    monkeypatch.setattr(glyphs, "PACKAGES", ())

    made = make("sales", rows(["北京 & Co", "Müller"]), title="東京")

    assert f"{MARK * 2} & Co" in made.text
    assert "Müller" in made.text
    assert "shown as □: 3." in made.text
    assert made.result.notes == [
        "Characters that no font of the PDF has, shown as □: 3. The workbook has them."
    ]
    book = openpyxl.load_workbook(io.BytesIO(made.content(".xlsx")))
    assert "北京 & Co" in {cell.value for sheet in book for row in sheet for cell in row}


def test_the_fonts_own_characters_need_no_mark(make: Make) -> None:
    """Latin, Greek and Cyrillic letters, currencies and signs are Inter's."""
    assert unshown(["Straße Ελλάδα Привет ₽ € − – … ▲ ▼ \u200b \ufe0f" + MARK]) == set()


def test_letters_that_are_joined_stay_joined() -> None:
    """A family is one emoji, and Persian needs its parting of letters."""
    assert clean("👨\u200d👩\u200d👧") == "👨\u200d👩\u200d👧"
    assert clean("می\u200cخواهم") == "می\u200cخواهم"


def test_quadrillions_do_not_overlap(make: Make) -> None:
    """Every number of a table is a text of its own on the page, whole and on one line."""
    data = [
        {"date": f"2024-{month:02}-01", "amount": f"{month}234567890123456.75", "product": "tea"}
        for month in range(1, 13)
    ]
    made = make("sales", data, currency="RUB")

    assert len(re.findall(r"\d{1,2},234,567,890,123,456\.75", made.text)) >= 12


@pytest.mark.parametrize("columns", [2, 7, 10])
@pytest.mark.parametrize("characters", [4, 12, 34])
def test_a_table_is_set_in_a_size_at_which_it_fits(columns: int, characters: int) -> None:
    """The digits of all columns, at the size chosen, take no more than the page's width."""
    for room in (PAGE_UPRIGHT, PAGE_WIDE):
        size = _size([characters] * columns, room)
        assert columns * characters * size * 0.62 < room
        assert size <= 8.5
