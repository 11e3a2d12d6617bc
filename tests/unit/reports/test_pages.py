"""What a reader of the PDF sees."""

from __future__ import annotations

import re
from typing import Any, cast

import pytest

from tasks.reports.labels import Labels
from tasks.reports.parameters import Language

from .conftest import Make

SALES = [
    {"date": f"2024-{month:02}-15", "amount": str(1000 * month + 0.5), "product": product}
    for month in range(1, 7)
    for product in ("Kettle", "Кофе в зёрнах")
]


def test_a_page_says_what_it_is_about(make: Make) -> None:
    """Title, period, key figures with currency, months and products stand on the first page."""
    made = make("sales", SALES, currency="USD", period={"from": "2024-02-01", "to": "2024-06-30"})
    first = made.pages[0]
    for words in ("Sales report", "1 Feb 2024 – 30 Jun 2024", "for u-17", "Page 1 of"):
        assert words in first
    assert re.search(r"Revenue\s*\$40,005\.00", first)
    assert "Feb 2024" in first
    assert re.search(r"Kettle\s*20,002\.50\s*50\.0%", made.text)
    assert made.pdf.metadata is not None
    assert made.pdf.metadata.title == "Sales report"


def test_a_russian_page_is_russian(make: Make) -> None:
    """Words, months, decimal commas and the rouble sign are those of a Russian reader."""
    made = make(
        "sales",
        SALES,
        language="ru",
        currency="RUB",
        period={"from": "2024-02-01", "to": "2024-06-30"},
    )
    for words in ("Отчёт о продажах", "1 февраля 2024 – 30 июня 2024", "Страница 1 из", "для u-17"):
        assert words in made.pages[0]
    assert re.search(r"Выручка\s*40 005,00 ₽", made.pages[0])
    assert re.search(r"Кофе в зёрнах\s*20 002,50\s*50,0 %", made.text)
    assert "Revenue" not in made.text


def test_both_languages_are_set_in_the_projects_own_font(make: Make) -> None:
    """Latin and Cyrillic come from Inter, embedded, wherever the report is made."""
    for language in ("en", "ru"):
        fonts = {
            str(font.get_object()["/BaseFont"])
            for page in make("sales", SALES, language=language).pdf.pages
            for font in cast("Any", page["/Resources"])["/Font"].values()
        }
        assert fonts
        assert all("Inter" in font for font in fonts)


def test_long_tables_repeat_their_head_on_every_numbered_page(make: Make) -> None:
    """Five hundred rows run over pages that each have the head, the title and their number."""
    rows = [
        {"id": f"row {number:03} of a name that is long enough to wrap in its column", "n": str(n)}
        for number, n in enumerate(range(500, 0, -1))
    ]
    made = make(
        "custom",
        rows,
        title="Stock",
        dimensions=[{"column": "id"}],
        measures=[{"function": "sum", "column": "n"}],
    )
    pages = made.pages
    assert len(pages) > 5
    for number, page in enumerate(pages, 1):
        assert f"Page {number} of {len(pages)}" in page
        assert "Stock" in page
    for page in pages[2:-1]:
        assert "Sum of n" in page
    assert len(set(re.findall(r"row (\d{3})", made.text))) == 500


@pytest.mark.parametrize("report_type", ["sales", "analytics", "financial", "custom"])
@pytest.mark.parametrize("language", ["en", "ru"])
def test_an_empty_period_is_a_report_that_says_so(
    make: Make, report_type: str, language: str
) -> None:
    """Nothing in the period is no failure: one page, in the reader's language, says it."""
    rows = [{"date": "2024-03-15", "amount": "5", "user": "u", "event": "visit"}]
    more = (
        {"measures": [{"function": "sum", "column": "amount"}]} if report_type == "custom" else {}
    )
    made = make(
        report_type,
        rows,
        language=language,
        period={"from": "2025-01-01", "to": "2025-03-31"},
        **more,
    )
    assert len(made.pages) == 1
    labels = Labels(Language(language))
    assert labels("empty_title") in made.text
    assert "15 Mar 2024" in made.text or "15 марта 2024" in made.text
    assert made.figures["rows"] == 0
    assert made.workbook.worksheets[0]["A4"].value == labels("empty_title")


def test_a_file_without_one_usable_row_is_an_empty_report(make: Make) -> None:
    """With no dated row at all there is no period to name, and still a report."""
    made = make("sales", [{"date": "", "amount": "5"}])
    assert "No row of the file matches." in made.text
    assert made.figures["period_from"] is None


def test_a_cut_step_is_noted(make: Make) -> None:
    """A period that ends inside a month warns that the last month is not complete."""
    made = make("sales", SALES, period={"from": "2024-01-01", "to": "2024-06-20"})
    assert "The period begins or ends inside a month" in made.text
    whole = make("sales", SALES, period={"from": "2024-01-01", "to": "2024-06-30"})
    assert "inside a month" not in whole.text


MARKUP = [
    '#read("/etc/passwd")',
    "#{ panic() }",
    "$x^2$ *bold* _it_ = Head",
    '"); #read("x',
    "<label> @ref \\u{41}",
    "{page} {pages} {count}",
]


@pytest.mark.parametrize("text", MARKUP)
def test_a_callers_text_is_never_markup(make: Make, text: str) -> None:
    """Titles, names and headers full of Typst code come out as they were written."""
    rows = [{"date": "2024-01-01", "amount": "5", "product": text}]
    for made in (
        make("sales", rows, title=text),
        make(
            "custom",
            [{"n": "1", text: "5"}],
            dimensions=[{"column": text}],
            measures=[{"function": "sum", "column": "n", "label": text}],
        ),
    ):
        seen = made.text.replace("\n", "").replace(" ", "")
        assert seen.count(text.replace(" ", "")) >= 2


def test_control_and_direction_marks_stay_off_the_page(make: Make) -> None:
    """A name can't turn the line around, ring the bell or break the page."""
    rows = [{"date": "2024-01-01", "amount": "5", "product": "abc\u202edef\u0007\u0001gh\u2028i"}]
    assert "abc def" in make("sales", rows).text


def test_a_name_without_end_is_cut_and_wrapped(make: Make) -> None:
    """A word of thousands of letters takes no more room than a long name."""
    rows = [{"date": "2024-01-01", "amount": "5", "product": "x" * 5000}]
    made = make("sales", rows)
    assert 100 < made.text.replace("\n", "").count("x") < 400
    assert len(made.pages) <= 2
    assert made.figures["by_product"][0]["product"] == "x" * 5000


def test_both_languages_have_every_word() -> None:
    """No label is missing or the same in both languages, and their blanks are the same."""
    from tasks.reports import labels

    for english, russian in labels._WORDS.values():
        assert english != russian
        assert sorted(re.findall(r"{\w+}", english)) == sorted(re.findall(r"{\w+}", russian))
        assert re.search("[а-яё]", russian.lower())
