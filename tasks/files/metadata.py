"""The metadata of a file: the same first fields for all, then a section for its family."""

from __future__ import annotations

from celeriac import BaseModel, Field


class Gps(BaseModel):
    """The place where a photograph was taken: degrees (WGS 84, north and east positive), metres."""

    latitude: float
    longitude: float
    altitude: float | None = None


class ImageMetadata(BaseModel):
    """``width`` and ``height`` are in pixels, as seen: after the EXIF orientation."""

    width: int
    height: int
    mode: str = Field(description="Pillow's name of the pixel layout, such as `RGB` or `CMYK`.")
    frames: int = Field(description="Of an animation, or the pages of a TIFF.")
    exif: dict[str, str | int | float] = Field(description="Without GPS; see `gps`.")
    gps: Gps | None = None


class PdfMetadata(BaseModel):
    """``pages`` and the texts are null if reading them needs a password."""

    version: str
    encrypted: bool
    pages: int | None = None
    title: str | None = None
    author: str | None = None
    producer: str | None = None


class Column(BaseModel):
    """A column; ``type`` is DuckDB's name, or for a workbook: number, text, date, boolean, …"""

    name: str
    type: str


class TableMetadata(BaseModel):
    """``rows`` don't count the header."""

    columns: list[Column]
    rows: int
    blank_lines: int = Field(default=0, description="Lines left out: they held nothing.")
    delimiter: str | None = None
    encoding: str | None = None


class Sheet(TableMetadata):
    """One sheet of a workbook; its first row names the columns."""

    name: str
    hidden: bool = False
    uncomputed: int = Field(
        default=0, description="Cells whose formula no program has computed: they have no value."
    )


class TextMetadata(BaseModel):
    """``lines`` includes a last line without a line break."""

    encoding: str
    lines: int


class ArchiveMetadata(BaseModel):
    """The contents of an archive, by its own directory."""

    entries: int
    unpacked_bytes: int
    encrypted: bool


class FileMetadata(BaseModel):
    """``content_type`` is read from the content, never from the name."""

    name: str
    content_type: str
    size: int = Field(description="In bytes.")
    sha256: str
    image: ImageMetadata | None = None
    pdf: PdfMetadata | None = None
    table: TableMetadata | None = None
    sheets: list[Sheet] | None = None
    text: TextMetadata | None = None
    archive: ArchiveMetadata | None = None
