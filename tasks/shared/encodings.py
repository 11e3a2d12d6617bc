"""Text files: their encoding, their number of lines, and a copy in UTF-8."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from tasks.shared.faults import Fault

_CHUNK = 2**20
_SAMPLE = 2**16
_BEYOND_ASCII = 0x80
# Spreadsheets and old systems still write these. Fewer candidates make fewer wrong guesses.
_OLDER_ENCODINGS = (
    *("cp1252", "cp1251", "cp1250", "cp1253", "cp1254", "koi8_r", "cp866"),
    *("shift_jis", "euc_jp", "gb18030", "big5", "euc_kr"),
)
# Python's encodings of names and of source code. No file is written in them.
_NOT_OF_FILES = {"charmap", "idna", "punycode", "raw-unicode-escape", "unicode-escape"}
_BOMS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def known_encoding(name: str) -> str:
    """The name, if Python knows it as an encoding of text.

    Its other codecs compress, scramble or escape; ``open`` refuses some of them in the worker only.
    """
    found: str | None
    try:
        found = codecs.lookup(name).name.replace("_", "-")
        "".encode(found)
    except (LookupError, ValueError):
        found = None
    if found is None or found in _NOT_OF_FILES:
        raise ValueError(f"{name!r} is no encoding of text; one is 'utf-8', another 'cp1252'")
    return name


Encoding = Annotated[str, Field(min_length=1, max_length=40), AfterValidator(known_encoding)]


@dataclass(frozen=True)
class Text:
    """A text file read to its end. ``encoding`` is Python's name, ``ascii`` if that suffices."""

    encoding: str
    lines: int


def bom_encoding(head: bytes) -> str | None:
    """The encoding that a byte order mark names. UTF-32's marks begin as UTF-16's do."""
    return next((encoding for bom, encoding in _BOMS.items() if head.startswith(bom)), None)


def read_text(path: Path, name: str, encoding: str | None = None, *, guess: bool = True) -> Text:
    """Read a text file in chunks, find its encoding and count its lines.

    ``encoding`` is the sender's word. Without it, the encoding is the one of the byte order mark,
    else UTF-8, else, with ``guess``, the likeliest of a few older encodings.

    Raises:
        PermanentError: ``unknown-encoding``.
    """
    with path.open("rb") as file:
        said = encoding or bom_encoding(file.read(4))
    try:
        return Text(*_decode(path, said or "utf-8"))
    except LookupError as error:
        raise Fault.UNKNOWN_ENCODING.error(f"There is no encoding named {said!r}.") from error
    except UnicodeError as error:
        if said or not guess:
            raise Fault.UNKNOWN_ENCODING.error(
                f"{name!r} is not in the encoding {said or 'utf-8'}."
            ) from error
    likely = _guess(path, name)
    try:
        return Text(*_decode(path, likely))
    except UnicodeError as error:
        raise Fault.UNKNOWN_ENCODING.error(f"{name!r} begins like {likely}, but isn't.") from error


def to_utf8(path: Path, encoding: str, copy: Path) -> Path:
    """The same text as UTF-8 without a byte order mark, in a file at ``copy``."""
    with (
        path.open(encoding=encoding, newline="") as source,
        copy.open("w", encoding="utf-8", newline="") as target,
    ):
        target.write(source.read(1).removeprefix("\ufeff"))
        while chunk := source.read(_CHUNK):
            target.write(chunk)
    return copy


def _decode(path: Path, encoding: str) -> tuple[str, int]:
    decoder = codecs.getincrementaldecoder(encoding)()
    lines, last, plain = 0, "", encoding == "utf-8"
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            text = decoder.decode(chunk)
            plain = plain and text.isascii()
            # No system in use ends a line with a lone \r.
            lines += text.count("\n")
            last = text[-1:] or last
    decoder.decode(b"", final=True)
    return ("ascii" if plain else encoding), lines + (last not in ("", "\n"))


def _guess(path: Path, name: str) -> str:
    from charset_normalizer import from_bytes

    with path.open("rb") as file:
        start = max(0, _first_odd_byte(path) - _SAMPLE // 2)
        file.seek(start)
        sample = file.read(_SAMPLE)
    best = from_bytes(sample, cp_isolation=list(_OLDER_ENCODINGS)).best()
    if best is None:
        raise Fault.UNKNOWN_ENCODING.error(f"The encoding of {name!r} can't be recognised.")
    return best.encoding


def _first_odd_byte(path: Path) -> int:
    """The offset of the first byte that isn't ASCII: a guess needs a sample with such bytes."""
    offset = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            if not chunk.isascii():
                return offset + next(i for i, byte in enumerate(chunk) if byte >= _BEYOND_ASCII)
            offset += len(chunk)
    return offset
