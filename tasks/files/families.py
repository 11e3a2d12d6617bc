"""The class that reads each family of files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import mkdtemp

from tasks.files.archives import ArchiveSource
from tasks.files.images import ImageSource
from tasks.files.kinds import Family, kind_of
from tasks.files.operations import Operation
from tasks.files.pdfs import PdfSource
from tasks.files.source import Source
from tasks.files.tables import TableSource
from tasks.files.texts import TextSource
from tasks.files.workbooks import WorkbookSource

_SOURCES: dict[Family, type[Source]] = {
    Family.IMAGE: ImageSource,
    Family.PDF: PdfSource,
    Family.TABLE: TableSource,
    Family.WORKBOOK: WorkbookSource,
    Family.ARCHIVE: ArchiveSource,
    Family.TEXT: TextSource,
    Family.OTHER: Source,
}


def open_source(
    path: Path,
    name: str,
    operations: Sequence[Operation],
    workdir: Path,
    encoding: str | None = None,
) -> Source:
    """The file at ``path``, which its sender calls ``name``, and the operations on it.

    Raises:
        PermanentError: ``empty-file``, ``file-too-large``, or a fault that hides the kind.
    """
    kind = kind_of(path, name, encoding)
    made = Path(mkdtemp(dir=workdir, prefix="made-"))
    return _SOURCES[kind.family](
        path, name, kind=kind, operations=operations, made=made, encoding=encoding
    )
