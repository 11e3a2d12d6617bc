"""Whether an image file holds a picture and nothing else: no place, comment or second picture."""

from __future__ import annotations

import struct
from pathlib import Path

from tasks.files.kinds import JPEG, PNG, WEBP, Kind

# JPEG's markers (ITU-T T.81, table B.1) of the picture itself, with JFIF, ICC profile and Adobe's
# statement of the colours.
_JPEG_ALONE = {0xD8, 0x01, *range(0xD0, 0xD8)}
_JPEG_TABLES = {0xDB, 0xDD, 0xE0, 0xE2, 0xEE, *range(0xC0, 0xD0)}
_JPEG_SCAN, _JPEG_END = 0xDA, b"\xff\xd9"
_ICC = b"ICC_PROFILE\0"
_PNG_CHUNKS = {
    *(b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"sBIT"),
    *(b"bKGD", b"pHYs", b"cICP"),
}
_WEBP_CHUNKS = {b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ICCP"}


def holds_only_pixels(path: Path, kind: Kind) -> bool:
    """True if every part of the file is one of the picture's own. Other kinds are never sure."""
    content = path.read_bytes()
    try:
        if kind is JPEG:
            return _jpeg(content)
        if kind is PNG:
            return _chunks(content, 8, ">I4s", 4) <= _PNG_CHUNKS
        if kind is WEBP:
            return _chunks(content, 12, "<4sI", 0) <= _WEBP_CHUNKS
    except (struct.error, IndexError):
        return False
    return False


def _jpeg(content: bytes) -> bool:
    at = 0
    while True:
        marker = content[at + 1]
        if content[at] != 0xFF:  # noqa: PLR2004 - the first byte of every marker
            return False
        if marker == _JPEG_SCAN:
            # In a scan, FF is followed by 00 or by a restart. The first end must be the file's.
            return content.find(_JPEG_END, at) == len(content) - 2
        if marker in _JPEG_ALONE:
            at += 2
            continue
        (length,) = struct.unpack_from(">H", content, at + 2)
        if marker not in _JPEG_TABLES:
            return False
        if marker == 0xE2 and not content.startswith(_ICC, at + 4):  # noqa: PLR2004
            return False
        at += 2 + length


def _chunks(content: bytes, start: int, header: str, checksum: int) -> set[bytes]:
    """The names of a file's chunks; an empty name if it doesn't end with the last of them."""
    found = set()
    at = start
    while at < len(content):
        first, second = struct.unpack_from(header, content, at)
        name, length = (first, second) if isinstance(first, bytes) else (second, first)
        found.add(name)
        # RIFF pads a chunk to an even length.
        padding = 0 if checksum else length % 2
        at += 8 + length + padding + checksum
    return found if at == len(content) else found | {b""}
