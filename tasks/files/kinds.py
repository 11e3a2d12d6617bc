"""Which kind a file is, from its content.

Names lie, so they only decide where content can't: lines of text with commas may be CSV or prose.
"""

from __future__ import annotations

import codecs
import json
import re
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path, PurePosixPath

from tasks.files import limits
from tasks.files.faults import Fault


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
    """A kind of file; ``extensions`` are those an honest name may have, the usual one first."""

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

BOMS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_OLE = bytes.fromhex("d0cf11e0a1b11ae1")
# How Office keeps a document under a password: [MS-OFFCRYPTO] 2.3.4.4.
_OLE_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
# Control characters that no text has; among legacy encodings only binary data shows them.
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_HTML_START = re.compile(r"<(!doctype html|html|head|body|script|iframe|object|embed)\b")
_MARKUP_START = re.compile(r"<(\?xml|!--|!doctype|[a-z])")


def bom_encoding(head: bytes) -> str | None:
    """The encoding that a byte order mark names. UTF-32's marks begin as UTF-16's do."""
    return next((encoding for bom, encoding in BOMS.items() if head.startswith(bom)), None)


def extension(name: str) -> str:
    """The name's last extension, in lower case, without its dot."""
    return PurePosixPath(name).suffix.lower().removeprefix(".")


def kind_of(path: Path, name: str) -> Kind:
    """The kind of the file at ``path``; ``name`` is what its sender called it.

    Raises:
        PermanentError: ``empty-file``; ``encrypted-file`` and ``truncated-file`` where even the
            kind can't be told for that reason.
    """
    with path.open("rb") as file:
        head = file.read(limits.TEXT_SAMPLE_BYTES)
    if not head:
        raise Fault.EMPTY_FILE.error(f"{name!r} has no bytes.")
    if b"%PDF-" in head[:1024]:
        return PDF
    text = _as_text(head)
    if text is not None:
        return _text_kind(text, extension(name))
    return _binary_kind(path, name, head)


def check_name(name: str, kind: Kind) -> None:
    """Refuse a name whose extension promises another kind.

    Raises:
        PermanentError: ``type-mismatch``.
    """
    promised = BY_EXTENSION.get(extension(name))
    if promised not in (None, kind):
        raise Fault.TYPE_MISMATCH.error(
            f"{name!r} says {promised.name}, the content is {kind.name}."
        )


def _as_text(head: bytes) -> str | None:
    encoding = bom_encoding(head)
    if encoding is None:
        if _BINARY.search(head):
            return None
        encoding = "utf-8"
    # The sample may end inside a character.
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        return decoder.decode(head)
    except UnicodeDecodeError:
        # An older encoding; every kind below shows itself in ASCII, which they all share.
        return None if _magic(head) else head.decode("latin-1")


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
    import filetype  # type: ignore[import-untyped] # it ships none

    mime: str | None = filetype.guess_mime(head)
    # Two letters are a weak sign; the four reserved bytes make it a bitmap.
    if mime == BMP.content_type and head[6:10] != b"\0\0\0\0":
        return None
    return mime


def _binary_kind(path: Path, name: str, head: bytes) -> Kind:
    if head.startswith((b"PAR1", b"PARE")):
        return PARQUET
    if head.startswith(_OLE):
        if _contains(path, _OLE_ENCRYPTED):
            raise Fault.ENCRYPTED_FILE.error(f"{name!r} is an Office document under a password.")
        return Kind("an old Office document", "application/x-ole-storage", Family.OTHER)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip_kind(path, name)
    if head.startswith(b"\x1f\x8b"):
        return GZIP
    content_type = _magic(head) or "application/octet-stream"
    if content_type == "image/apng":
        return PNG
    return BY_CONTENT_TYPE.get(content_type, Kind(content_type, content_type, Family.OTHER))


def _zip_kind(path: Path, name: str) -> Kind:
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            return XLSX if "xl/workbook.xml" in archive.namelist() else ZIP
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
        raise Fault.TRUNCATED_FILE.error(
            f"{name!r} begins as a ZIP archive but its directory, at the end, can't be read."
        ) from error


def _contains(path: Path, wanted: bytes) -> bool:
    tail = b""
    with path.open("rb") as file:
        while chunk := file.read(limits.MIB):
            if wanted in tail + chunk:
                return True
            tail = chunk[-len(wanted) :]
    return False
