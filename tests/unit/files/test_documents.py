from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from pypdf import PdfReader, PdfWriter
from pypdf.generic import NameObject, StreamObject

from celeriac.contract import PermanentError

from .conftest import FIXTURES, Run

Process = Callable[..., Run]


def titled_pdf(pages: int, title: str) -> bytes:
    writer = PdfWriter()
    for _ in range(pages):
        writer.add_blank_page(200, 100)
    writer.add_metadata({"/Title": title, "/Author": "Ann"})
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


def test_metadata_of_a_pdf(process: Process) -> None:
    """Pages, title, author and whether it is encrypted."""
    found = process(
        "a.pdf", titled_pdf(3, "Отчёт"), validate=True, extract_metadata=True
    ).metadata.pdf

    assert found is not None
    assert (found.pages, found.title, found.author, found.encrypted) == (3, "Отчёт", "Ann", False)


def test_a_pdf_that_anyone_can_open_may_be_encrypted(process: Process) -> None:
    """One that only forbids printing is valid, and said to be encrypted."""
    run = process("restricted.pdf", validate=True, extract_metadata=True)

    assert run.metadata.pdf is not None
    assert (run.metadata.pdf.encrypted, run.metadata.pdf.pages) == (True, 1)


def test_a_locked_pdf_tells_that_it_is_locked(process: Process) -> None:
    """Without its password there are no pages to count."""
    found = process("locked.pdf", extract_metadata=True).metadata.pdf

    assert found is not None
    assert (found.encrypted, found.pages, found.title) == (True, None, None)


def test_compressing_a_pdf_packs_its_streams(process: Process) -> None:
    """Half the bytes, the same text."""
    run = process("people.pdf", compress=True)

    assert run.result.artifacts[0].saved > 0.25
    assert run.result.artifacts[0].content_type == "application/pdf"
    before, after = PdfReader(FIXTURES / "people.pdf"), PdfReader(io.BytesIO(run.content))
    assert [page.extract_text() for page in after.pages] == [
        page.extract_text() for page in before.pages
    ]
    assert "Smith, Ann" in after.pages[0].extract_text()


def test_compressing_a_pdf_twice_changes_nothing(process: Process) -> None:
    """What can't be made smaller comes back as it was."""
    once = process("people.pdf", compress=True).content

    assert len(process("again.pdf", once, compress=True).content) <= len(once)


def test_metadata_of_a_workbook(process: Process) -> None:
    """Each sheet with its columns, their types and the rows below the header."""
    (sheet,) = process("people.xlsx", validate=True, extract_metadata=True).metadata.sheets or []

    assert sheet.name == "people"
    assert sheet.rows == 3
    assert [(each.name, each.type) for each in sheet.columns] == [
        ("id", "number"),
        ("name", "text"),
        ("born", "date"),
        ("amount", "number"),
    ]


@pytest.mark.parametrize(
    ("content", "encoding", "lines"),
    [
        (b"one\ntwo\n", "ascii", 2),
        (b"one\r\ntwo", "ascii", 2),
        ("шесть\n".encode(), "utf-8", 1),
        ("шесть\nсемь".encode("utf-16"), "utf-16", 2),
        (("Съешь ещё этих мягких французских булок\n" * 3).encode("cp1251"), "cp1251", 3),
    ],
)
def test_metadata_of_text(process: Process, content: bytes, encoding: str, lines: int) -> None:
    """Encoding, lines, size and SHA-256."""
    found = process("a.txt", content, validate=True, extract_metadata=True).metadata

    assert found.text is not None
    assert (found.text.encoding, found.text.lines) == (encoding, lines)
    assert found.size == len(content)
    assert found.sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.svg", "<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "image/svg+xml"),
        (
            "a.svg",
            "<?xml version='1.0'?>\n<!-- x -->\n<svg><script>x</script></svg>",
            "image/svg+xml",
        ),
        ("a.html", "<!DOCTYPE html><script>alert(1)</script>", "text/html"),
        ("a.htm", "\ufeff  <HTML><body onload=x>", "text/html"),
    ],
)
def test_hostile_markup_is_only_ever_a_download(
    process: Process, name: str, content: str, kind: str
) -> None:
    """It is recognised, and its output is an archive that no browser opens."""
    run = process(name, content, validate=True, extract_metadata=True, compress=True)

    assert run.metadata.content_type == kind
    (artifact,) = run.result.artifacts
    assert artifact.content_type == "application/gzip"
    assert artifact.name == f"{name}.gz"
    assert gzip.decompress(run.content) == content.encode()


@pytest.mark.parametrize("operation", [{"convert": {"format": "png"}}, {"thumbnail": True}])
def test_hostile_markup_is_never_rendered(process: Process, operation: dict[str, Any]) -> None:
    """There is no picture of an SVG, so nothing in it ever runs."""
    with pytest.raises(PermanentError) as raised:
        process("a.svg", "<svg/>", **operation)

    assert raised.value.type in ("unsupported-conversion", "unsupported-operation")


def test_names_of_outputs_are_harmless(process: Process) -> None:
    """Marks that mean something in a page, a shell or a header become underscores."""
    run = process('"><script>&$(x);\n.txt', "x", compress=True)

    assert run.result.artifacts[0].name == "_script_x_.txt.gz"


def test_a_stream_that_is_packed_already_stays(process: Process) -> None:
    """A JPEG inside a PDF is the same bytes afterwards."""
    photo = (FIXTURES / "turned.jpg").read_bytes()
    writer = PdfWriter()
    page = writer.add_blank_page(100, 100)
    for name, content, filter_name in (
        ("/A", photo, "/DCTDecode"),
        ("/B", zlib.compress(b"x" * 9999, 0), "/FlateDecode"),
    ):
        stream = StreamObject()
        stream.set_data(content)
        stream[NameObject("/Filter")] = NameObject(filter_name)
        page[NameObject(name)] = writer._add_object(stream)
    buffer = io.BytesIO()
    writer.write(buffer)

    run = process("a.pdf", buffer.getvalue(), validate=True, compress=True)

    (page,) = PdfReader(io.BytesIO(run.content)).pages
    kept, packed = page["/A"], page["/B"]
    assert isinstance(kept, StreamObject)
    assert isinstance(packed, StreamObject)
    assert kept._data == photo
    assert packed.get_data() == b"x" * 9999
    assert len(packed._data) < 100
