"""Files broken on purpose: each fails with its own stable type, and the process lives on."""

from __future__ import annotations

import codecs
import gzip
import io
import json
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from typing import Any

import pytest
from PIL import Image
from pypdf import PdfWriter
from pypdf.generic import NameObject, StreamObject

from celeriac.contract import PermanentError
from tasks.files import limits
from tasks.generate_report import GenerateReport
from tasks.process_file import ProcessFile, process_file
from tasks.queues import FILES
from tasks.shared.faults import Fault

from .conftest import FIXTURES, Run

Process = Callable[..., Run]
OLE = bytes.fromhex("d0cf11e0a1b11ae1")


def fixture(name: str) -> bytes:
    return (FIXTURES / name).read_bytes()


def half(name: str) -> bytes:
    content = fixture(name)
    return content[: len(content) // 2]


def image(format: str, size: tuple[int, int] = (200, 200)) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise(size, 90).convert("RGB").save(buffer, format)
    return buffer.getvalue()


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of that size whose pixels, and other chunks, are what is given."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    packed = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in ((b"IHDR", header), *chunks, (b"IEND", b""))
    )
    return b"\x89PNG\r\n\x1a\n" + packed


def bitmap(width: int, height: int) -> bytes:
    """The header of a BMP alone."""
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + info


def zipped(entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def nested_zip(depth: int) -> bytes:
    content = zipped({"a.txt": b"hello"})
    for _ in range(depth):
        content = zipped({"inner.zip": content}, zipfile.ZIP_STORED)
    return content


def zip_of_overlaps(names: str) -> bytes:
    """Two entries of the directory that share one run of bytes."""
    content = zipped({"a": b"x" * 1000, "b": b"y" * 1000}, zipfile.ZIP_STORED)
    second = content.rindex(b"PK\x01\x02")
    directory = content[second : second + 42] + struct.pack("<I", 0) + names[1].encode()
    return content[:second] + directory + content[second + len(directory) :]


def workbook(sheet: bytes, **parts: bytes) -> bytes:
    """An XLSX with one sheet; ``parts`` replace entries of ``xl/`` by their stem."""
    relations = b"http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    main = {
        "workbook": b"<workbook xmlns:r='%s'><sheets><sheet name='S' r:id='r1'/></sheets>"
        b"</workbook>" % relations,
        "_rels/workbook": b"<Relationships><Relationship Id='r1' Target='worksheets/s.xml'/>"
        b"</Relationships>",
        "worksheets/s": sheet,
    }
    entries = {
        f"xl/{stem}.xml{'.rels' if 'rels' in stem else ''}": content
        for stem, content in (main | parts).items()
    }
    return zipped(entries)


def pdf(pages: int = 1, stream: StreamObject | None = None) -> bytes:
    writer = PdfWriter()
    for _ in range(pages):
        writer.add_blank_page(100, 100)
    if stream is not None:
        writer.pages[0][NameObject("/Contents")] = writer._add_object(stream)
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


def stream(data: bytes, *filters: str) -> StreamObject:
    from pypdf.generic import ArrayObject

    made = StreamObject()
    made.set_data(data)
    made[NameObject("/Filter")] = ArrayObject(NameObject(each) for each in filters)
    return made


@cache
def zeros(count: int) -> bytes:
    return zlib.compress(bytes(count), 9)


VALIDATE: dict[str, Any] = {"validate": True}
BROKEN: dict[str, tuple[str, bytes | str, dict[str, Any], Fault]] = {
    # Not what it says
    "nothing at all": ("a.csv", b"", VALIDATE, Fault.EMPTY_FILE),
    "text called JPEG": ("a.jpg", "hello", VALIDATE, Fault.TYPE_MISMATCH),
    "PNG called JPEG": ("a.jpg", fixture("quadrants.png"), VALIDATE, Fault.TYPE_MISMATCH),
    "HTML called CSV": ("a.csv", "<html><script>1</script>", VALIDATE, Fault.TYPE_MISMATCH),
    "binary called CSV": ("a.csv", b"a,b\n\x00\x01,2\n", VALIDATE, Fault.TYPE_MISMATCH),
    "ZIP called XLSX": ("a.xlsx", zipped({"a": b"1"}), VALIDATE, Fault.TYPE_MISMATCH),
    "music": ("a.mp3", b"ID3\x03" + bytes(200), VALIDATE, Fault.UNSUPPORTED_FORMAT),
    "a program": ("a.bin", b"\x7fELF" + bytes(200), VALIDATE, Fault.UNSUPPORTED_FORMAT),
    "an old Word document": ("a.doc", OLE + bytes(600), VALIDATE, Fault.UNSUPPORTED_FORMAT),
    "a kind not asked for": (
        "a.gif",
        fixture("palette.gif"),
        {"validate": {"types": ["image/jpeg", "image/png"]}},
        Fault.TYPE_NOT_ALLOWED,
    ),
    # Cut off
    "half a JPEG": ("a.jpg", image("JPEG")[:5000], VALIDATE, Fault.TRUNCATED_FILE),
    "half a JPEG's thumbnail": (
        "a.jpg",
        image("JPEG")[:5000],
        {"thumbnail": True},
        Fault.TRUNCATED_FILE,
    ),
    "half a PNG": ("a.png", image("PNG")[:5000], VALIDATE, Fault.TRUNCATED_FILE),
    "half a WebP": ("a.webp", image("WEBP")[:5000], VALIDATE, Fault.TRUNCATED_FILE),
    "half an AVIF": ("a.avif", image("AVIF")[:5000], VALIDATE, Fault.TRUNCATED_FILE),
    "half a GIF": ("a.gif", image("GIF")[:5000], VALIDATE, Fault.TRUNCATED_FILE),
    "half a BMP": ("a.bmp", half("bitmap.bmp"), VALIDATE, Fault.TRUNCATED_FILE),
    "half a PDF": ("a.pdf", half("people.pdf"), VALIDATE, Fault.TRUNCATED_FILE),
    "half an XLSX": ("a.xlsx", half("people.xlsx"), VALIDATE, Fault.TRUNCATED_FILE),
    "half a gzip file": ("a.gz", gzip.compress(b"x" * 999)[:-9], VALIDATE, Fault.TRUNCATED_FILE),
    "half a Parquet file": ("a.parquet", b"PAR1" + bytes(99), VALIDATE, Fault.TRUNCATED_FILE),
    # Broken inside
    "a PNG with a wrong checksum": (
        "a.png",
        png(8, 8, (b"IDAT", zeros(72))).replace(zeros(72), zeros(72)[:-1] + b"?"),
        VALIDATE,
        Fault.CORRUPT_FILE,
    ),
    "a JPEG that is only a beginning": (
        "a.jpg",
        b"\xff\xd8\xff\xe0" + bytes(500),
        VALIDATE,
        Fault.CORRUPT_FILE,
    ),
    "a PDF of prose": ("a.pdf", "%PDF-1.7\nhello\n%%EOF", VALIDATE, Fault.CORRUPT_FILE),
    "a PDF without pages": (
        "a.pdf",
        pdf().replace(b"/Kids", b"/Kidz"),
        VALIDATE,
        Fault.CORRUPT_FILE,
    ),
    "a PDF with a broken stream": (
        "a.pdf",
        pdf(stream=stream(b"not deflated", "/FlateDecode")),
        VALIDATE,
        Fault.CORRUPT_FILE,
    ),
    "a ZIP with a wrong checksum": (
        "a.zip",
        zipped({"a": b"hello"}, zipfile.ZIP_STORED).replace(b"hello", b"jello"),
        VALIDATE,
        Fault.CORRUPT_FILE,
    ),
    "a gzip file with a wrong checksum": (
        "a.gz",
        gzip.compress(b"hello")[:-8] + bytes(8),
        VALIDATE,
        Fault.CORRUPT_FILE,
    ),
    "a workbook without sheets": (
        "a.xlsx",
        zipped({"xl/workbook.xml": b"<workbook/>"}),
        {"extract_metadata": True},
        Fault.CORRUPT_FILE,
    ),
    "a sheet of broken XML": ("a.xlsx", workbook(b"<sheet><row>"), VALIDATE, Fault.CORRUPT_FILE),
    "a Parquet footer of noise": (
        "a.parquet",
        b"PAR1" + bytes(99) + b"\x20\0\0\0PAR1",
        VALIDATE,
        Fault.CORRUPT_FILE,
    ),
    "broken JSON": ("a.json", '{"a": ', VALIDATE, Fault.CORRUPT_FILE),
    "JSON nested too deeply": ("a.json", "[" * 200_000, VALIDATE, Fault.CORRUPT_FILE),
    # Locked
    "a PDF under a password": ("a.pdf", fixture("locked.pdf"), VALIDATE, Fault.ENCRYPTED_FILE),
    "a restricted PDF, to be rewritten": (
        "a.pdf",
        fixture("restricted.pdf"),
        {"compress": True},
        Fault.ENCRYPTED_FILE,
    ),
    "a ZIP under a password": ("a.zip", fixture("locked.zip"), VALIDATE, Fault.ENCRYPTED_FILE),
    "a workbook under a password": (
        "a.xlsx",
        OLE + bytes(9999) + "EncryptedPackage".encode("utf-16-le"),
        VALIDATE,
        Fault.ENCRYPTED_FILE,
    ),
    "encrypted Parquet": (
        "a.parquet",
        b"PARE" + bytes(99) + b"PARE",
        VALIDATE,
        Fault.ENCRYPTED_FILE,
    ),
    # Too much
    "a PNG that claims 2.5 gigapixels": (
        "a.png",
        png(50_000, 50_000, (b"IDAT", zeros(1000))),
        {"extract_metadata": True},
        Fault.DECOMPRESSION_BOMB,
    ),
    "a PNG that claims 100 megapixels": (
        "a.png",
        png(10_000, 10_000, (b"IDAT", zeros(1000))),
        {"thumbnail": True},
        Fault.DECOMPRESSION_BOMB,
    ),
    "a BMP that claims 100 megapixels": (
        "a.bmp",
        bitmap(10_000, 10_000),
        VALIDATE,
        Fault.DECOMPRESSION_BOMB,
    ),
    "a genuine image of 100 megapixels": (
        "a.png",
        png(10_000, 10_000, (b"IDAT", random.Random(2).randbytes(200_000))),
        VALIDATE,
        Fault.TOO_MANY_PIXELS,
    ),
    "a PNG with 64 MB of comment": (
        "a.png",
        png(8, 8, (b"zTXt", b"a\0\0" + zeros(64_000_000)), (b"IDAT", zeros(72))),
        VALIDATE,
        Fault.DECOMPRESSION_BOMB,
    ),
    "more pixels than asked for": (
        "a.png",
        fixture("quadrants.png"),
        {"validate": {"max_pixels": 64 * 48 - 1}},
        Fault.TOO_MANY_PIXELS,
    ),
    "more bytes than asked for": (
        "a.png",
        fixture("quadrants.png"),
        {"validate": {"max_bytes": 300}},
        Fault.FILE_TOO_LARGE,
    ),
    "a PDF of 2,001 pages": ("a.pdf", pdf(2_001), VALIDATE, Fault.TOO_MANY_PAGES),
    "more pages than asked for": (
        "a.pdf",
        pdf(3),
        {"validate": {"max_pages": 2}},
        Fault.TOO_MANY_PAGES,
    ),
    "a PDF stream of 200 MB": (
        "a.pdf",
        pdf(stream=stream(zeros(200_000_000), "/FlateDecode")),
        VALIDATE,
        Fault.DECOMPRESSION_BOMB,
    ),
    "a PDF stream packed twice": (
        "a.pdf",
        pdf(stream=stream(zlib.compress(zeros(200_000_000)), "/FlateDecode", "/FlateDecode")),
        VALIDATE,
        Fault.DECOMPRESSION_BOMB,
    ),
    "a PDF bomb, to be rewritten": (
        "a.pdf",
        pdf(stream=stream(zeros(200_000_000), "/FlateDecode")),
        {"compress": True},
        Fault.DECOMPRESSION_BOMB,
    ),
    "a ZIP of 100 MB of nothing": ("a.zip", zipped({"a": bytes(10**8)}), VALIDATE, Fault.ZIP_BOMB),
    "a ZIP in a ZIP in a ZIP in a ZIP": ("a.zip", nested_zip(3), VALIDATE, Fault.ZIP_BOMB),
    "a ZIP bomb in a ZIP": (
        "a.zip",
        zipped({"inner": zipped({"a": bytes(10**8)})}, zipfile.ZIP_STORED),
        VALIDATE,
        Fault.ZIP_BOMB,
    ),
    "a ZIP of 10,001 entries": (
        "a.zip",
        zipped({str(number): b"" for number in range(10_001)}),
        VALIDATE,
        Fault.ZIP_BOMB,
    ),
    "a workbook bomb": (
        "a.xlsx",
        workbook(b"<worksheet>" + b" " * 10**8 + b"</worksheet>"),
        {"extract_metadata": True},
        Fault.ZIP_BOMB,
    ),
    "a workbook with entities": (
        "a.xlsx",
        workbook(b"<!DOCTYPE a [<!ENTITY b 'bb'><!ENTITY c '&b;&b;'>]><a>&c;</a>"),
        VALIDATE,
        Fault.DECOMPRESSION_BOMB,
    ),
    "a gzip bomb": ("a.gz", gzip.compress(bytes(10**8)), VALIDATE, Fault.DECOMPRESSION_BOMB),
    "an archive that climbs out": (
        "a.zip",
        zipped({"../../etc/cron.d/x": b"* * * * *"}),
        VALIDATE,
        Fault.UNSAFE_PATH,
    ),
    "an archive with a drive": ("a.zip", zipped({"C:\\x": b""}), VALIDATE, Fault.UNSAFE_PATH),
    "a ZIP packed by LZMA": (
        "a.zip",
        zipped({"a": b"hello"}, zipfile.ZIP_LZMA),
        VALIDATE,
        Fault.UNSUPPORTED_FORMAT,
    ),
    "an animation of 501 frames": (
        "a.gif",
        b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff" + b",\0\0\0\0\1\0\1\0\0\2\2D\1\0" * 501 + b";",
        VALIDATE,
        Fault.TOO_MANY_FRAMES,
    ),
    # Tables
    "a row too short": ("a.csv", "a,b\n1,2\n3\n", VALIDATE, Fault.MALFORMED_TABLE),
    "a row too long": ("a.csv", "a,b\n1,2\n3,4,5\n", VALIDATE, Fault.MALFORMED_TABLE),
    "a quote that doesn't close": ("a.csv", 'a,b\n1,"2\n3,4\n', VALIDATE, Fault.MALFORMED_TABLE),
    "a bad row, to be converted": (
        "a.csv",
        "a,b\n" + "1,2\n" * 50_000 + "3\n",
        {"convert": {"format": "parquet"}},
        Fault.MALFORMED_TABLE,
    ),
    "a line of 2 MB": (
        "a.csv",
        "a,b\n" + "x" * 2_000_000 + ",1\n",
        VALIDATE,
        Fault.MALFORMED_TABLE,
    ),
    "a line that isn't JSON": ("a.jsonl", '{"a":1}\n{"a":\n', VALIDATE, Fault.MALFORMED_TABLE),
    "a line that isn't an object": ("a.jsonl", '{"a":1}\n[2]\n', VALIDATE, Fault.MALFORMED_TABLE),
    "a line nested too deeply": (
        "a.jsonl",
        '{"a":' + "[" * 9999 + "]" * 9999 + "}\n",
        VALIDATE,
        Fault.MALFORMED_TABLE,
    ),
    "3,000 columns": (
        "a.csv",
        ",".join(f"c{n}" for n in range(3000)) + "\n" + ",".join("1" * 3000) + "\n",
        VALIDATE,
        Fault.TOO_MANY_COLUMNS,
    ),
    "more rows than a sheet has": (
        "a.csv",
        "a\n" + "1\n" * limits.SHEET_ROWS,
        {"convert": {"format": "xlsx"}},
        Fault.TOO_MANY_ROWS,
    ),
    "a text longer than a cell": (
        "a.csv",
        "a,b\n1," + "x" * 40_000 + "\n",
        {"convert": {"format": "xlsx"}},
        Fault.OUTPUT_TOO_LARGE,
    ),
    "a mark of UTF-16 on something else": (
        "a.txt",
        codecs.BOM_UTF16_LE + b"abc",
        VALIDATE,
        Fault.UNKNOWN_ENCODING,
    ),
    "letters of no alphabet": (
        "a.txt",
        bytes(range(128, 256)) * 3,
        VALIDATE,
        Fault.UNKNOWN_ENCODING,
    ),
    # Asked for what isn't there
    "no operation": ("a.txt", "x", {}, Fault.NO_OPERATION),
    "an animation to a still format": (
        "a.gif",
        fixture("moving.gif"),
        {"convert": {"format": "png"}},
        Fault.ANIMATED_IMAGE,
    ),
    "a TIFF of pages, compressed": (
        "a.tiff",
        fixture("pages.tiff"),
        {"compress": True},
        Fault.SEVERAL_PAGES,
    ),
    "a table to a picture": (
        "a.csv",
        "a\n1\n",
        {"convert": {"format": "png"}},
        Fault.UNSUPPORTED_CONVERSION,
    ),
    "a picture to a table": (
        "a.png",
        fixture("quadrants.png"),
        {"convert": {"format": "csv"}},
        Fault.UNSUPPORTED_CONVERSION,
    ),
    "a workbook to CSV": (
        "a.xlsx",
        fixture("people.xlsx"),
        {"convert": {"format": "csv"}},
        Fault.UNSUPPORTED_CONVERSION,
    ),
    "a thumbnail of a PDF": (
        "a.pdf",
        fixture("people.pdf"),
        {"thumbnail": True},
        Fault.UNSUPPORTED_OPERATION,
    ),
    "the quality of a PDF": (
        "a.pdf",
        fixture("people.pdf"),
        {"compress": {"quality": 50}},
        Fault.UNSUPPORTED_OPERATION,
    ),
    "a photograph in ten bytes": (
        "a.jpg",
        fixture("turned.jpg"),
        {"compress": {"target_bytes": 10}},
        Fault.TARGET_UNREACHABLE,
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_bad_file_fails_with_its_type(process: Process, name: str) -> None:
    """The type is stable; the detail says what to do and tells nothing of this machine."""
    file, content, operations, fault = BROKEN[name]

    with pytest.raises(PermanentError) as raised:
        process(file, content, **operations)

    assert raised.value.type == fault.type
    assert raised.value.detail.endswith(fault.remedy)
    assert "/tmp" not in raised.value.detail
    assert len(raised.value.detail) < 400


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "a,b\n1,2\n3\n4,5\n", "line 3 has 1 values for 2 columns"),
        ("a.csv", 'a,b\n"1\n2",3\n4,5,6\n', "line 4 has 3 values for 2 columns"),
        ("a.jsonl", '{"a":1}\n\n{"a"}\n', "line 3 isn't JSON"),
    ],
)
def test_a_bad_table_names_the_line(process: Process, name: str, content: str, said: str) -> None:
    """The detail has the line's number as an editor counts it, for the caller to correct."""
    with pytest.raises(PermanentError, match=said):
        process(name, content, validate=True)


def test_a_wrong_encoding_is_named(process: Process) -> None:
    """A text that isn't in the encoding that its sender names."""
    with pytest.raises(PermanentError, match="ascii") as raised:
        process("a.txt", "шесть", encoding="ascii", validate=True)
    assert raised.value.type == "unknown-encoding"


@pytest.mark.parametrize(
    "encoding",
    [*("klingon", "zlib_codec", "rot13", "hex", "idna", "unicode_escape", "undefined"), "utf-8\0"],
)
def test_what_is_no_encoding_of_text_is_refused_before_it_is_queued(encoding: str) -> None:
    """Python's codecs also compress, scramble and escape, which no text file is."""
    with pytest.raises(ValueError, match="no encoding of text"):
        ProcessFile.model_validate({"file_key": "k", "encoding": encoding})
    with pytest.raises(ValueError, match="no encoding of text"):
        GenerateReport.model_validate(
            {
                "user_id": 1,
                "report_type": "sales",
                "file_key": "k",
                "parameters": {"encoding": encoding},
            }
        )


@pytest.mark.parametrize("names", ["ab", "aa"])
def test_an_overlapping_zip_is_a_bomb(process: Process, names: str) -> None:
    """Entries that share their bytes unpack to more than the archive has."""
    with pytest.raises(PermanentError) as raised:
        process("a.zip", zip_of_overlaps(names), validate=True)

    assert raised.value.type == "zip-bomb"


@pytest.mark.parametrize(
    "name",
    [
        "turned.jpg",
        "quadrants.png",
        "palette.gif",
        "pages.tiff",
        "people.pdf",
        "people.xlsx",
        "locked.zip",
    ],
)
def test_any_damage_ends_in_a_known_fault_or_none(process: Process, name: str) -> None:
    """Whatever bytes are changed or missing, nothing but a listed fault comes out."""
    rng = random.Random(name)
    known = {fault.type for fault in Fault}
    for _ in range(40):
        content = bytearray(fixture(name))
        for _ in range(rng.choice([1, 4, 40])):
            content[rng.randrange(len(content))] = rng.randrange(256)
        content = content[: rng.choice([len(content), rng.randrange(1, len(content))])]
        try:
            process(name, bytes(content), validate=True, extract_metadata={"gps": True})
        except PermanentError as error:
            assert error.type in known  # noqa: PT017 - not failing is right too


def test_the_process_lives_on(process: Process) -> None:
    """After a bomb, the next file is processed as ever."""
    with pytest.raises(PermanentError):
        process("a.pdf", BROKEN["a PDF stream of 200 MB"][1], validate=True)

    assert process("turned.jpg", validate=True, thumbnail=True).result.validated


def test_what_is_asked_survives_the_journey() -> None:
    """A payload written as JSON and read again asks for the same, under the same names."""
    asked = {"validate": {"max_pages": 3}, "convert": {"format": "webp"}, "thumbnail": True}
    payload = ProcessFile.model_validate({"file_key": "files/1/a.png", "operations": asked})

    written = json.loads(payload.model_dump_json())

    assert written["operations"]["validate"]["max_pages"] == 3
    assert ProcessFile.model_validate(written) == payload


@pytest.mark.parametrize(
    "operations",
    [
        {"validat": True},
        {"convert": {"format": "bmp"}},
        {"compress": {"quality": 101}},
        {"thumbnail": {"max_side": 100_000}},
    ],
)
def test_a_wrong_request_is_refused_before_it_is_queued(operations: dict[str, Any]) -> None:
    """Unknown operations and impossible options never reach a worker."""
    with pytest.raises(ValueError, match="operations"):
        ProcessFile.model_validate({"file_key": "files/1/a.png", "operations": operations})


def test_it_is_declared_on_its_queue() -> None:
    """The name, the queue, and a limit that lets 50 megapixels and two million rows pass."""
    assert process_file.name == "process-file"
    assert process_file.queue == FILES
    assert process_file.time_limit == timedelta(minutes=10)
