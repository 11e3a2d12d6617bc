"""The fonts of a report, the characters that they can show, and a mark for every other one.

Inter has the Latin, Greek and Cyrillic alphabets. Two packages have most others: Noto Sans of many
scripts with emoji, and of Chinese, Japanese and Korean. Without them a report is made all the same.
"""

from __future__ import annotations

import struct
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

OWN = Path(__file__).parent / "fonts"
PACKAGES = ("manimgx_fonts", "manimgx_fonts_cjk")
# It is in Inter: WHITE SQUARE.
MARK = "\u25a1"
# Controls and formats, spaces, and variation selectors need no glyph.
_WITHOUT_GLYPH = ("Cc", "Cf", "Zs", "Zl", "Zp")
_SELECTORS = {*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)}
_COLLECTION = b"ttcf"
# Formats of a font's table of characters: OpenType 1.9, "cmap".
_SEGMENTS, _GROUPS = 4, 12


def folders() -> list[Path]:
    """The directories of fonts that are there."""
    found = [find_spec(name) for name in PACKAGES]
    return [OWN] + [
        Path(place) for spec in found if spec for place in spec.submodule_search_locations or ()
    ]


def unshown(content: Any) -> set[str]:
    """The characters of all texts in a document that no font has."""
    return {each for text in _texts(content) for each in set(text) if not _is_shown(each)}


def marked(content: Any) -> Any:
    """The same document, with a mark for each character that no font has."""
    missing = unshown(content)
    table = str.maketrans(dict.fromkeys(missing, MARK))
    return _each_text(content, lambda text: text.translate(table)) if missing else content


def _is_shown(character: str) -> bool:
    if character.isascii() or ord(character) in _SELECTORS:
        return True
    if unicodedata.category(character) in _WITHOUT_GLYPH:
        return True
    starts, ends = _covered(tuple(folders()))
    position = bisect_right(starts, ord(character)) - 1
    return position >= 0 and ord(character) <= ends[position]


def _texts(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict):
        for each in content.values():
            yield from _texts(each)
    elif isinstance(content, list):
        for each in content:
            yield from _texts(each)


def _each_text(content: Any, change: Callable[[str], str]) -> Any:
    if isinstance(content, str):
        return change(content)
    if isinstance(content, dict):
        return {key: _each_text(each, change) for key, each in content.items()}
    if isinstance(content, list):
        return [_each_text(each, change) for each in content]
    return content


@cache
def _covered(places: Sequence[Path]) -> tuple[list[int], list[int]]:
    """The first and the last characters of all ranges that some font covers, in order."""
    files = [file for place in places for file in place.glob("*.[ot]t[fc]")]
    ranges = sorted(each for file in files for each in _ranges(file.read_bytes()))
    starts: list[int] = []
    ends: list[int] = []
    for start, end in ranges:
        if ends and start <= ends[-1] + 1:
            ends[-1] = max(ends[-1], end)
        else:
            starts.append(start)
            ends.append(end)
    return starts, ends


def _ranges(font: bytes) -> Iterator[tuple[int, int]]:
    """The ranges of characters that a font has glyphs for. A collection's fonts share theirs."""
    at = struct.unpack_from(">I", font, 12)[0] if font.startswith(_COLLECTION) else 0
    (tables,) = struct.unpack_from(">H", font, at + 4)
    for index in range(tables):
        name, _, offset, _ = struct.unpack_from(">4sIII", font, at + 12 + 16 * index)
        if name != b"cmap":
            continue
        (count,) = struct.unpack_from(">H", font, offset + 2)
        for encoding in range(count):
            (inner,) = struct.unpack_from(">I", font, offset + 4 + 8 * encoding + 4)
            yield from _subtable(font, offset + inner)


def _subtable(font: bytes, at: int) -> Iterator[tuple[int, int]]:
    (format,) = struct.unpack_from(">H", font, at)
    if format == _SEGMENTS:
        (double,) = struct.unpack_from(">H", font, at + 6)
        ends = struct.unpack_from(f">{double // 2}H", font, at + 14)
        starts = struct.unpack_from(f">{double // 2}H", font, at + 16 + double)
        # The last segment is the end mark FFFF.
        yield from zip(starts[:-1], ends[:-1], strict=True)
    elif format == _GROUPS:
        (groups,) = struct.unpack_from(">I", font, at + 12)
        for index in range(groups):
            start, end, _ = struct.unpack_from(">III", font, at + 16 + 12 * index)
            yield start, end
