"""ZIP archives whose directory keeps the limits."""

from __future__ import annotations

import errno
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from tasks.shared import limits
from tasks.shared.faults import Fault

# The header before an entry's name and bytes: 4.3.7 of PKWARE's APPNOTE.TXT.
_HEADER_BYTES = 30
_END, _END_BYTES = b"PK\x05\x06", 22
_LOCATOR, _LOCATOR_BYTES = b"PK\x06\x07", 20
_LARGE_END, _LARGE_END_BYTES = b"PK\x06\x06", 56
_FULL_ENTRIES, _FULL_SIZE = 0xFFFF, 0xFFFFFFFF
_LONGEST_TAIL = _LOCATOR_BYTES + _END_BYTES + 0xFFFF
# With LZMA, the archive would choose how much memory its reader needs.
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def check_directory(path: Path, name: str) -> None:
    """Check the size of an archive's directory by its end record. Python's reader holds it whole.

    Raises:
        PermanentError: ``zip-bomb``.
    """
    entries, size = _stated_directory(path)
    if entries > limits.ZIP_ENTRIES or size > limits.ZIP_DIRECTORY_BYTES:
        raise Fault.ZIP_BOMB.error(
            f"{name!r} has {entries:,} entries in a directory of {size:,} bytes; "
            f"{limits.ZIP_ENTRIES:,} entries are allowed."
        )


def _stated_directory(path: Path) -> tuple[int, int]:
    """The entries and bytes of the directory, by the end records: 4.3.14 and 4.3.16 of APPNOTE.

    Nothing is stated if there is no end record: that is for the reader to refuse.
    """
    with path.open("rb") as file:
        end = file.seek(0, 2)
        tail_at = max(0, end - _LONGEST_TAIL)
        file.seek(tail_at)
        tail = file.read()
        at = tail.rfind(_END)
        if at < 0 or len(tail) - at < _END_BYTES:
            return 0, 0
        stated = [struct.unpack_from("<10xHL", tail, at)]
        locator = tail[max(0, at - _LOCATOR_BYTES) : at]
        if locator.startswith(_LOCATOR):
            # Readers look where the locator points to, or right before it.
            (pointed,) = struct.unpack_from("<8xQ", locator)
            before = tail_at + at - _LOCATOR_BYTES - _LARGE_END_BYTES
            for place in {pointed, before}:
                if 0 <= place < end:
                    file.seek(place)
                    record = file.read(_LARGE_END_BYTES)
                    if record.startswith(_LARGE_END) and len(record) == _LARGE_END_BYTES:
                        stated.append(struct.unpack_from("<32xQQ", record))
    (entries, size), *large = stated
    if large:
        # Fields that are full refer to the larger record.
        stated[0] = (entries % _FULL_ENTRIES, size % _FULL_SIZE)
    return max(each[0] for each in stated), max(each[1] for each in stated)


def is_bomb(packed: int, unpacked: int) -> bool:
    """Whether so many bytes unpack to more than those of any genuine archive."""
    if unpacked <= limits.ZIP_HARMLESS_BYTES:
        return False
    return unpacked > limits.ZIP_ALL_BYTES or unpacked / max(packed, 1) > limits.ZIP_RATIO


def _overlap(entries: Iterable[zipfile.ZipInfo]) -> bool:
    """Whether entries share bytes: the trick of bombs that aren't nested.

    Python before 3.11.8 doesn't notice, and later versions only warn of some cases.
    """
    places = sorted((entry.header_offset, entry.compress_size) for entry in entries)
    return any(
        start + _HEADER_BYTES + size > following
        for (start, size), (following, _) in pairwise(places)
    )


@contextmanager
def opened_zip(path: Path, name: str) -> Iterator[zipfile.ZipFile]:
    """A ZIP archive whose directory keeps the limits. Reading an entry stops at its stated size.

    Raises:
        PermanentError: ``zip-bomb``, ``truncated-file`` or ``corrupt-file``, also from the block.
    """
    check_directory(path, name)
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            unpacked = sum(entry.file_size for entry in entries)
            if len(entries) > limits.ZIP_ENTRIES:
                raise Fault.ZIP_BOMB.error(
                    f"{name!r} has {len(entries):,} entries; {limits.ZIP_ENTRIES:,} are allowed."
                )
            if is_bomb(path.stat().st_size, unpacked):
                raise Fault.ZIP_BOMB.error(
                    f"{name!r} unpacks {path.stat().st_size:,} bytes to {unpacked:,}."
                )
            if _overlap(entries):
                raise Fault.ZIP_BOMB.error(f"{name!r} has entries that overlap.")
            yield archive
    except EOFError as error:
        raise Fault.TRUNCATED_FILE.error(f"An entry of {name!r} ends early.") from error
    except (zipfile.BadZipFile, zlib.error, ValueError, NotImplementedError, OSError) as error:
        # Seeking to a wrong offset is EINVAL. Any other OSError is the machine's.
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        raise Fault.CORRUPT_FILE.error(f"{name!r} is damaged: {error}.") from error
