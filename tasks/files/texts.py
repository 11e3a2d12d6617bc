"""Text: its encoding, its lines, and a copy in UTF-8 for those who read nothing else."""

from __future__ import annotations

import codecs
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tasks.files import limits
from tasks.files.faults import Fault
from tasks.files.kinds import JSON, bom_encoding
from tasks.files.metadata import FileMetadata, TextMetadata
from tasks.files.operations import ExtractMetadata, Validate
from tasks.files.source import Source

_BEYOND_ASCII = 0x80
# What spreadsheets and old systems still write. Fewer candidates make fewer wrong guesses.
_OLDER_ENCODINGS = (
    *("cp1252", "cp1251", "cp1250", "cp1253", "cp1254", "koi8_r", "cp866"),
    *("shift_jis", "euc_jp", "gb18030", "big5", "euc_kr"),
)


@dataclass(frozen=True)
class Text:
    """A text file read to its end. ``encoding`` is Python's name, ``ascii`` where that will do."""

    encoding: str
    lines: int


def read_text(path: Path, name: str, encoding: str | None = None) -> Text:
    """Read a text file in chunks, to learn its encoding and to count its lines.

    ``encoding`` is what its sender says it is; else a byte order mark says it, or it is UTF-8, or
    one of a few older encodings by the look of its letters.

    Raises:
        PermanentError: ``unknown-encoding``.
    """
    with path.open("rb") as file:
        said = encoding or bom_encoding(file.read(4))
    try:
        return Text(*_decode(path, said or "utf-8"))
    except LookupError as error:
        raise Fault.UNKNOWN_ENCODING.error(f"There is no encoding {said!r}.") from error
    except UnicodeError as error:
        if said:
            raise Fault.UNKNOWN_ENCODING.error(f"{name!r} isn't {said}, as it says.") from error
    guess = _guess(path, name)
    try:
        return Text(*_decode(path, guess))
    except UnicodeError as error:
        raise Fault.UNKNOWN_ENCODING.error(f"{name!r} begins as {guess} but breaks it.") from error


def to_utf8(path: Path, encoding: str, copy: Path) -> Path:
    """The same text as UTF-8 without a byte order mark, in a file at ``copy``."""
    with (
        path.open(encoding=encoding, newline="") as source,
        copy.open("w", encoding="utf-8", newline="") as target,
    ):
        while chunk := source.read(limits.MIB):
            target.write(chunk)
    return copy


def _decode(path: Path, encoding: str) -> tuple[str, int]:
    decoder = codecs.getincrementaldecoder(encoding)()
    lines, last, plain = 0, "", encoding == "utf-8"
    with path.open("rb") as file:
        while chunk := file.read(limits.MIB):
            text = decoder.decode(chunk)
            plain = plain and text.isascii()
            # A lone \r ends a line on no system in use.
            lines += text.count("\n")
            last = text[-1:] or last
    decoder.decode(b"", final=True)
    return ("ascii" if plain else encoding), lines + (last not in ("", "\n"))


def _guess(path: Path, name: str) -> str:
    from charset_normalizer import from_bytes

    with path.open("rb") as file:
        start = max(0, _first_odd_byte(path) - limits.TEXT_SAMPLE_BYTES // 2)
        file.seek(start)
        sample = file.read(limits.TEXT_SAMPLE_BYTES)
    best = from_bytes(sample, cp_isolation=list(_OLDER_ENCODINGS)).best()
    if best is None:
        raise Fault.UNKNOWN_ENCODING.error(f"The encoding of {name!r} can't be recognised.")
    return best.encoding


def _first_odd_byte(path: Path) -> int:
    """Where the first byte stands that isn't ASCII: a guess needs a sample with such bytes."""
    offset = 0
    with path.open("rb") as file:
        while chunk := file.read(limits.MIB):
            if not chunk.isascii():
                return offset + next(i for i, byte in enumerate(chunk) if byte >= _BEYOND_ASCII)
            offset += len(chunk)
    return offset


class TextSource(Source):
    """Text of any kind. HTML and SVG are told and packed, never rendered or shown."""

    @cached_property
    def text(self) -> Text:
        return read_text(self.path, self.name, self.encoding)

    def decode(self, wanted: Validate) -> None:
        text = self.text
        if self.kind is JSON:
            self._decode_json(text.encoding)

    def describe(self, wanted: ExtractMetadata) -> FileMetadata:
        found = super().describe(wanted)
        found.text = TextMetadata(encoding=self.text.encoding, lines=self.text.lines)
        return found

    def _decode_json(self, encoding: str) -> None:
        if self.size > limits.JSON_BYTES:
            raise Fault.FILE_TOO_LARGE.error(
                f"{self.name!r} has {self.size:,} bytes; one JSON value may have "
                f"{limits.JSON_BYTES:,}. JSON lines may be larger."
            )
        try:
            json.loads(self.path.read_text(encoding=encoding))
        except (ValueError, RecursionError) as error:
            raise Fault.CORRUPT_FILE.error(f"{self.name!r} isn't JSON: {error}.") from error
