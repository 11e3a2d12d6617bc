"""The operations that a caller may request for a file."""

from __future__ import annotations

from typing import Annotated, Literal

from celeriac import BaseModel, Field
from tasks.shared.writing import DateFormat, DecimalMark

ImageFormat = Literal["jpeg", "png", "webp", "avif", "tiff"]
TableFormat = Literal["csv", "jsonl", "parquet", "xlsx"]

Quality = Field(default=80, ge=1, le=100, description="Of lossy formats: 1 (worst) to 100.")

MaxSide = Field(
    default=None, ge=1, le=65_535, description="Scale an image down to this longest side (px)."
)


class Validate(BaseModel, extra="forbid"):
    """Decode the whole file. The limits can only be stricter than the task type's own."""

    types: list[Annotated[str, Field(max_length=100)]] | None = Field(
        default=None,
        max_length=50,
        description="The content types allowed, such as `image/jpeg`; any if absent.",
    )
    max_bytes: int | None = Field(default=None, gt=0)
    max_pixels: int | None = Field(default=None, gt=0, description="Of an image, width by height.")
    max_pages: int | None = Field(default=None, gt=0, description="Of a PDF.")


class ExtractMetadata(BaseModel, extra="forbid"):
    """Extract the file's metadata."""

    gps: bool = Field(
        default=False,
        description="Include the place where a photograph was taken, if its EXIF has it.",
    )


class Compress(BaseModel, extra="forbid"):
    """Make the file smaller. Only images take options."""

    quality: int = Quality
    max_side: int | None = MaxSide
    target_bytes: int | None = Field(
        default=None,
        ge=1,
        description="Lower an image's quality, then its size, until it fits into this many bytes.",
    )


class Convert(BaseModel, extra="forbid"):
    """Convert the file to another format of its family."""

    format: ImageFormat | TableFormat
    quality: int = Quality
    max_side: int | None = MaxSide
    types: Literal["infer", "text"] | None = Field(
        default=None,
        description="`text` keeps every CSV value as written, and is the default from CSV to CSV. "
        "`infer` is the default for other formats: a column has a type if all its values do, and "
        "each can be read in one way only.",
    )
    decimal_mark: DecimalMark = Field(default=".", description="Of numbers in CSV.")
    date_format: DateFormat | None = Field(
        default=None,
        description="strptime pattern of dates in CSV, such as `%d.%m.%Y`. Without it, only ISO "
        "dates are dates.",
    )


class Thumbnail(BaseModel, extra="forbid"):
    """A small still picture of an image, upright and without its metadata."""

    max_side: int = Field(default=256, ge=8, le=2_048, description="The longest side (px).")
    format: Literal["jpeg", "png", "webp"] = "webp"
    quality: int = Quality


Operation = Validate | ExtractMetadata | Compress | Convert | Thumbnail


# `validate` is a method of pydantic's BaseModel, so the attribute's name differs from the field's.
# Both names are read, and the field's is written.
class Operations(
    BaseModel,
    extra="forbid",
    validate_by_name=True,
    validate_by_alias=True,
    serialize_by_alias=True,
):
    """Any of these together. They run in this order, and the file is decoded once."""

    check: bool | Validate = Field(default=False, alias="validate")
    extract_metadata: bool | ExtractMetadata = False
    compress: bool | Compress = False
    convert: Convert | None = None
    thumbnail: bool | Thumbnail = False

    def requested(self) -> dict[str, Operation]:
        """The requested operations in order: each name with its options."""
        asked: dict[str, Operation | Literal[False] | None] = {
            "validate": Validate() if self.check is True else self.check,
            "extract_metadata": (
                ExtractMetadata() if self.extract_metadata is True else self.extract_metadata
            ),
            "compress": Compress() if self.compress is True else self.compress,
            "convert": self.convert,
            "thumbnail": Thumbnail() if self.thumbnail is True else self.thumbnail,
        }
        return {name: options for name, options in asked.items() if options}
