"""Recognising the kind of a file from its content.

Names are unreliable. They only decide where the content can't: lines of text with commas may be CSV
or prose.
"""

from __future__ import annotations

import codecs
import json
import re
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path, PurePosixPath

from tasks.files import limits
from tasks.shared.encodings import bom_encoding
from tasks.shared.faults import Fault
from tasks.shared.packages import is_workbook
from tasks.shared.signatures import (
    ENCRYPTED_PARQUET_MAGIC,
    OLE_MAGIC,
    PARQUET_MAGIC,
    check_office,
    is_binary,
)
from tasks.shared.zips import check_directory


class Family(Enum):
    """Kinds that are read by the same module."""

    IMAGE = auto()
    PDF = auto()
    TABLE = auto()
    WORKBOOK = auto()
    ARCHIVE = auto()
    TEXT = auto()
    OTHER = auto()


@dataclass(frozen=True)
class Kind:
    """A kind of file. ``extensions`` are those of its names, the usual one first."""

    name: str
    content_type: str
    family: Family
    extensions: tuple[str, ...] = ()


_OFFICE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

JPEG = Kind("JPEG", "image/jpeg", Family.IMAGE, ("jpg", "jpeg", "jpe", "jfif"))
PNG = Kind("PNG", "image/png", Family.IMAGE, ("png", "apng"))
WEBP = Kind("WebP", "image/webp", Family.IMAGE, ("webp",))
AVIF = Kind("AVIF", "image/avif", Family.IMAGE, ("avif",))
TIFF = Kind("TIFF", "image/tiff", Family.IMAGE, ("tiff", "tif"))
GIF = Kind("GIF", "image/gif", Family.IMAGE, ("gif",))
BMP = Kind("BMP", "image/bmp", Family.IMAGE, ("bmp", "dib"))
PDF = Kind("PDF", "application/pdf", Family.PDF, ("pdf",))
CSV = Kind("CSV", "text/csv", Family.TABLE, ("csv", "tsv"))
JSONL = Kind("JSON lines", "application/x-ndjson", Family.TABLE, ("jsonl", "ndjson"))
PARQUET = Kind("Parquet", "application/vnd.apache.parquet", Family.TABLE, ("parquet", "pq"))
XLSX = Kind("XLSX", _OFFICE, Family.WORKBOOK, ("xlsx",))
# Many formats are zip archives, and are checked as such.
ZIP_BASED = ("zip", "docx", "pptx", "odt", "ods", "odp", "epub", "jar", "whl", "kmz")
ZIP = Kind("ZIP", "application/zip", Family.ARCHIVE, ZIP_BASED)
GZIP = Kind("gzip", "application/gzip", Family.ARCHIVE, ("gz", "tgz", "svgz"))
HTML = Kind("HTML", "text/html", Family.TEXT, ("html", "htm", "xhtml"))
SVG = Kind("SVG", "image/svg+xml", Family.TEXT, ("svg",))
XML = Kind("XML", "application/xml", Family.TEXT, ("xml",))
JSON = Kind("JSON", "application/json", Family.TEXT, ("json", "geojson"))
TEXT = Kind("text", "text/plain", Family.TEXT, ("txt", "log", "md", "rst"))

KINDS = (
    *(JPEG, PNG, WEBP, AVIF, TIFF, GIF, BMP, PDF),
    *(CSV, JSONL, PARQUET, XLSX, ZIP, GZIP, HTML, SVG, XML, JSON, TEXT),
)
BY_CONTENT_TYPE = {kind.content_type: kind for kind in KINDS}
BY_EXTENSION = {extension: kind for kind in KINDS for extension in kind.extensions}

# TIFF of more than 4 GiB has the version 43. Pillow reads it in one order of bytes only.
_BIG_TIFF, _BIG_TIFF_REVERSED = b"II\x2b\x00", b"MM\x00\x2b"
# ISO/IEC 23008-12, annex B: the brands of telephones' photographs.
_HEIF_BRANDS = {
    *(b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"),
    *(b"mif2", b"MiHE"),
}
HEIC = "image/heic"
_WIDE = re.compile(r"utf-?(16|32)")
_GZIP_MAGIC = b"\x1f\x8b"
_MAGICS = (PARQUET_MAGIC, ENCRYPTED_PARQUET_MAGIC, OLE_MAGIC, b"PK\x03\x04", _GZIP_MAGIC)
_HTML_START = re.compile(r"<(!doctype html|html|head|body|script|iframe|object|embed)\b")
_MARKUP_START = re.compile(r"<(\?xml|!--|!doctype|[a-z])")


def extension(name: str) -> str:
    """The name's last extension, in lower case, without its dot."""
    return PurePosixPath(name).suffix.lower().removeprefix(".")


def kind_of(path: Path, name: str, encoding: str | None = None) -> Kind:
    """The kind of the file at ``path``; ``name`` and ``encoding`` are its sender's words.

    Raises:
        PermanentError: ``empty-file``, or where the fault hides the kind: ``encrypted-file`` or
            ``truncated-file``.
    """
    with path.open("rb") as file:
        head = file.read(limits.TEXT_SAMPLE_BYTES)
    if not head:
        raise Fault.EMPTY_FILE.error(f"{name!r} has no bytes.")
    if b"%PDF-" in head[:1024]:
        return PDF
    text = _as_text(head, encoding)
    if text is not None:
        return _text_kind(text, extension(name))
    return _binary_kind(path, name, head)


def check_name(name: str, kind: Kind) -> None:
    """Refuse a name whose extension stands for another kind.

    Raises:
        PermanentError: ``type-mismatch``.
    """
    promised = BY_EXTENSION.get(extension(name))
    if promised is None or promised.content_type == kind.content_type:
        return
    # JSON lines are often named so.
    if (promised, kind) != (JSON, JSONL):
        raise Fault.TYPE_MISMATCH.error(
            f"The extension of {name!r} says {promised.name}, and the content is {kind.name}."
        )


def _as_text(head: bytes, named: str | None) -> str | None:
    encoding = bom_encoding(head)
    if encoding is None:
        encoding = "utf-8"
        if is_binary(head):
            # UTF-16 and UTF-32 without their mark look like binary data.
            if named is None or not _WIDE.match(codecs.lookup(named).name) or _is_known(head):
                return None
            encoding = named
    # The sample may end inside a character.
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        return decoder.decode(head)
    except UnicodeDecodeError:
        # An older encoding. Every kind below is recognised by ASCII, which all encodings share.
        return None if _magic(head) else head.decode("latin-1")


def _is_known(head: bytes) -> bool:
    return head.startswith(_MAGICS) or _magic(head) is not None


def _text_kind(text: str, suffix: str) -> Kind:
    start = text.lstrip("\ufeff \t\r\n")
    markup = start[:4096].lower()
    if _MARKUP_START.match(markup):
        if _HTML_START.match(markup):
            return HTML
        if re.search(r"<svg[\s>]", markup):
            return SVG
        return XML if markup.startswith("<?xml") else TEXT
    if suffix in JSONL.extensions:
        return JSONL
    if suffix in CSV.extensions:
        return CSV
    if start.startswith(("{", "[")) and suffix not in TEXT.extensions:
        return JSONL if _has_json_lines(start) else JSON
    if suffix not in TEXT.extensions and _has_columns(start):
        return CSV
    return TEXT


def _has_json_lines(text: str) -> bool:
    first, _, rest = text.partition("\n")
    try:
        return isinstance(json.loads(first), dict) and rest.lstrip().startswith("{")
    except (ValueError, RecursionError):
        return False


def _has_columns(text: str) -> bool:
    lines = text.splitlines()[:20]
    return len(lines) > 1 and any(
        lines[0].count(mark) and len({line.count(mark) for line in lines[:-1]}) == 1
        for mark in (",", ";", "\t")
    )


def _magic(head: bytes) -> str | None:
    import filetype  # type: ignore[import-untyped] # it has no types

    if head.startswith(_BIG_TIFF):
        return TIFF.content_type
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS:
        return HEIC
    mime: str | None = filetype.guess_mime(head)
    # Two letters are a weak sign: a bitmap also has four reserved bytes.
    if mime == BMP.content_type and head[6:10] != b"\0\0\0\0":
        return None
    return mime


def _binary_kind(path: Path, name: str, head: bytes) -> Kind:
    if head.startswith((PARQUET_MAGIC, ENCRYPTED_PARQUET_MAGIC)):
        return PARQUET
    if head.startswith(OLE_MAGIC):
        check_office(path, name)
        return Kind("an old Office document", "application/x-ole-storage", Family.OTHER)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip_kind(path, name)
    if head.startswith(_GZIP_MAGIC):
        return GZIP
    if head.startswith(_BIG_TIFF_REVERSED):
        return Kind("big-endian BigTIFF", TIFF.content_type, Family.OTHER)
    content_type = _magic(head) or "application/octet-stream"
    if content_type == "image/apng":
        return PNG
    return BY_CONTENT_TYPE.get(content_type, Kind(content_type, content_type, Family.OTHER))


def _zip_kind(path: Path, name: str) -> Kind:
    import zipfile

    check_directory(path, name)
    try:
        with zipfile.ZipFile(path) as archive:
            return XLSX if is_workbook(archive) else ZIP
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
        raise Fault.TRUNCATED_FILE.error(
            f"{name!r} begins as a ZIP archive, but the directory at its end can't be read."
        ) from error
