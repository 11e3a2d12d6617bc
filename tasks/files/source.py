"""A file and the operations on it. Each family's subclass overrides those that it supports."""

from __future__ import annotations

import gzip
import hashlib
import re
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Self

from celeriac import PermanentError
from tasks.files import limits
from tasks.files.kinds import GZIP, HEIC, Family, Kind, check_name
from tasks.files.metadata import FileMetadata
from tasks.files.operations import (
    Compress,
    Convert,
    ExtractMetadata,
    Operation,
    Thumbnail,
    Validate,
)
from tasks.shared.faults import Fault

_LONGEST_NAME = 120


@dataclass(frozen=True)
class Output:
    """A file that an operation made. ``path`` is the source's own if the output isn't smaller."""

    name: str
    path: Path
    content_type: str

    @property
    def size(self) -> int:
        return self.path.stat().st_size


class Source:
    """A file of a kind without a decoder. Every file supports these operations.

    ``path`` is the content, ``name`` the sender's name for it, and ``encoding`` the sender's
    word on a text's encoding. ``made`` is a directory for outputs inside the
    task's own. ``closing`` closes resources when the work is done. Methods raise the
    ``PermanentError`` of a ``Fault``.
    """

    max_bytes = limits.STREAMED_BYTES

    def __init__(
        self,
        path: Path,
        name: str,
        *,
        kind: Kind,
        operations: Sequence[Operation],
        made: Path,
        encoding: str | None = None,
    ) -> None:
        self.path = path
        self.name = name
        self.kind = kind
        self.operations = operations
        self.made = made
        self.encoding = encoding
        self.closing = ExitStack()
        self.size = path.stat().st_size
        if self.size > self.max_bytes:
            raise Fault.FILE_TOO_LARGE.error(
                f"{name!r} has {self.size:,} bytes; {kind.name} may have {self.max_bytes:,}."
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.close()

    def validate(self, wanted: Validate) -> None:
        """Check the caller's limits, then that name and content agree, then the whole content."""
        if wanted.max_bytes is not None and self.size > wanted.max_bytes:
            raise Fault.FILE_TOO_LARGE.error(
                f"{self.name!r} has {self.size:,} bytes; {wanted.max_bytes:,} are allowed."
            )
        if wanted.types is not None and self.kind.content_type not in wanted.types:
            raise Fault.TYPE_NOT_ALLOWED.error(
                f"{self.name!r} is {self.kind.content_type}; allowed: {', '.join(wanted.types)}."
            )
        check_name(self.name, self.kind)
        self.decode(wanted)

    def decode(self, wanted: Validate) -> None:
        """Read the content to its end by the rules of its format."""
        raise self._unreadable()

    def describe(self, wanted: ExtractMetadata) -> FileMetadata:
        """Collect the file's metadata, reading as little of it as possible."""
        with self.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
        return FileMetadata(
            name=self.name,
            content_type=self.kind.content_type,
            size=self.size,
            sha256=digest.hexdigest(),
        )

    def compress(self, wanted: Compress) -> Output:
        """Make a gzip file. Its content type keeps browsers from showing the content."""
        self._refuse_image_options(wanted)
        path = self.made / f"{_safe(self.name)}.gz"
        with (
            self.path.open("rb") as content,
            path.open("wb") as file,
            # Without name and time, the same content makes the same bytes.
            gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0) as packed,
        ):
            shutil.copyfileobj(content, packed, limits.MIB)
        return Output(path.name, path, GZIP.content_type)

    def convert(self, wanted: Convert) -> Output:
        """Write the same content in another format."""
        if self.kind.family is Family.OTHER:
            raise self._unreadable()
        raise Fault.UNSUPPORTED_CONVERSION.error(
            f"{self.kind.name} can't become {wanted.format}: images become jpeg, png, webp, avif "
            "or tiff; CSV, JSON lines and Parquet become csv, jsonl, parquet or xlsx."
        )

    def thumbnail(self, wanted: Thumbnail) -> Output:
        """A small picture of the file."""
        if self.kind.family is Family.OTHER:
            raise self._unreadable()
        raise Fault.UNSUPPORTED_OPERATION.error(
            f"{self.kind.name} has no thumbnail; only images do."
        )

    def output_path(self, extension: str, suffix: str = "") -> Path:
        """The path for an output that is named after the source."""
        return self.made / f"{_safe(PurePosixPath(self.name).stem)}{suffix}.{extension}"

    def not_larger(self, output: Output) -> Output:
        """The output, or the source itself if the output isn't smaller."""
        if output.size < self.size:
            return output
        return Output(output.name, self.path, self.kind.content_type)

    def _unreadable(self) -> PermanentError:
        type = self.kind.content_type
        remedy = None
        if type == HEIC:
            remedy = (
                "Send it as JPEG: a telephone makes one with the camera setting "
                '"most compatible", or when it exports the photograph.'
            )
        elif type.startswith("image/"):
            remedy = "Save it as JPEG, PNG, WebP, AVIF or TIFF."
        return Fault.UNSUPPORTED_FORMAT.error(f"{self.name!r} is {type}.", remedy)

    def _refuse_image_options(self, wanted: Compress) -> None:
        if wanted.model_fields_set:
            raise Fault.UNSUPPORTED_OPERATION.error(
                f"compress.{min(wanted.model_fields_set)} is for images, and {self.name!r} is "
                f"{self.kind.name}: ask for compress: true."
            )


def _safe(name: str) -> str:
    """A name without path, control and markup characters, short enough for every file system."""
    safe = re.sub(r"[^\w.-]+", "_", name).lstrip(".")
    # 255 bytes are allowed, and a letter has up to four.
    return safe.encode("utf-8", "replace")[-_LONGEST_NAME:].decode("utf-8", "ignore") or "file"
