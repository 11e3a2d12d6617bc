"""The kind of document that a ZIP archive holds, by its own statement of its content."""

from __future__ import annotations

import re
import zipfile

from tasks.shared import limits

_USUAL_WORKBOOK = "xl/workbook.xml"
_TYPES = "[Content_Types].xml"
# Also with macros, and as a template.
_WORKBOOK_TYPE = re.compile(
    rb"ml\.(?:sheet|template)\.main\+xml|ms-excel\.[a-z]+\.[a-zA-Z]+\.main\+xml"
)
_BINARY_WORKBOOK_TYPE = b"sheet.binary.macroEnabled.main"
_ODF_PREFIX = b"application/vnd.oasis.opendocument."
# The document's own type is among the first, and a genuine part is no longer.
_READ = 4 * limits.MIB


def is_workbook(archive: zipfile.ZipFile) -> bool:
    """Whether an archive is an XLSX workbook, whatever its parts are named."""
    names = archive.namelist()
    if _USUAL_WORKBOOK in names:
        return True
    return _TYPES in names and bool(_WORKBOOK_TYPE.search(_start(archive, _TYPES)))


def other_document(archive: zipfile.ZipFile) -> str:
    """The name of what an archive is that isn't an XLSX workbook."""
    names = archive.namelist()
    if _TYPES in names and _BINARY_WORKBOOK_TYPE in _start(archive, _TYPES):
        return "a binary workbook (XLSB)"
    if "mimetype" in names:
        type = _start(archive, "mimetype")
        if type.startswith(_ODF_PREFIX + b"spreadsheet"):
            return "an OpenDocument spreadsheet (ODS)"
        if type.startswith(_ODF_PREFIX):
            return "an OpenDocument file"
    return "a ZIP archive"


def _start(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        with archive.open(name) as content:
            return content.read(_READ)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError):
        return b""
