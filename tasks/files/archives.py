"""ZIP archives and gzip files: what they hold, and bombs named as such before they unfold."""

from __future__ import annotations

import errno
import gzip
import re
import shutil
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from tempfile import NamedTemporaryFile

from tasks.files import limits
from tasks.files.faults import Fault
from tasks.files.kinds import ZIP
from tasks.files.metadata import ArchiveMetadata, FileMetadata
from tasks.files.operations import ExtractMetadata, Validate
from tasks.files.source import Source

_UNSAFE = re.compile(r"^[/\\]|^[A-Za-z]:|(^|[/\\])\.\.([/\\]|$)")
_ENCRYPTED_FLAG = 0x1
# What precedes an entry's name and bytes: 4.3.7 of PKWARE's APPNOTE.TXT.
_HEADER_BYTES = 30
# LZMA lets an archive choose how much memory reading it takes.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class ArchiveSource(Source):
    """A ZIP archive, or what is packed as one (DOCX, EPUB, …), or a gzip file."""

    def decode(self, wanted: Validate) -> None:
        if self.kind is ZIP:
            check_zip(self.path, self.name, self.made)
        else:
            self._unpack_gzip()

    def describe(self, wanted: ExtractMetadata) -> FileMetadata:
        found = super().describe(wanted)
        if self.kind is ZIP:
            with opened_zip(self.path, self.name) as archive:
                entries = archive.infolist()
            found.archive = ArchiveMetadata(
                entries=len(entries),
                unpacked_bytes=sum(entry.file_size for entry in entries),
                encrypted=any(entry.flag_bits & _ENCRYPTED_FLAG for entry in entries),
            )
        return found

    def _unpack_gzip(self) -> None:
        total = 0
        try:
            with gzip.open(self.path) as content:
                while chunk := content.read(limits.MIB):
                    total += len(chunk)
                    if is_bomb(self.size, total):
                        raise Fault.DECOMPRESSION_BOMB.error(
                            f"{self.name!r} unfolds {self.size:,} bytes to more than {total:,}."
                        )
        except EOFError as error:
            raise Fault.TRUNCATED_FILE.error(f"{self.name!r} ends early.") from error
        except (gzip.BadGzipFile, zlib.error) as error:
            raise Fault.CORRUPT_FILE.error(f"{self.name!r} is damaged: {error}.") from error


def is_bomb(packed: int, unpacked: int) -> bool:
    """Whether so many bytes unfold to more than any honest archive's do."""
    if unpacked <= limits.ZIP_HARMLESS_BYTES:
        return False
    return unpacked > limits.ZIP_ALL_BYTES or unpacked / max(packed, 1) > limits.ZIP_RATIO


def _overlap(entries: Iterable[zipfile.ZipInfo]) -> bool:
    """Whether entries share bytes, the trick of bombs that aren't nested.

    Pythons differ in what they make of it: before 3.11.8 nothing, and later some of it is but a
    warning.
    """
    places = sorted((entry.header_offset, entry.compress_size) for entry in entries)
    return any(
        start + _HEADER_BYTES + size > following
        for (start, size), (following, _) in pairwise(places)
    )


@contextmanager
def opened_zip(path: Path, name: str) -> Iterator[zipfile.ZipFile]:
    """A ZIP archive whose directory keeps the limits; reading an entry stops at its stated size.

    Raises:
        PermanentError: ``zip-bomb``, ``truncated-file`` or ``corrupt-file``, also from the block.
    """
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
                    f"{name!r} unfolds {path.stat().st_size:,} bytes to {unpacked:,}."
                )
            if _overlap(entries):
                raise Fault.ZIP_BOMB.error(f"{name!r} has entries that overlap.")
            yield archive
    except EOFError as error:
        raise Fault.TRUNCATED_FILE.error(f"An entry of {name!r} ends early.") from error
    except (zipfile.BadZipFile, zlib.error, ValueError, NotImplementedError, OSError) as error:
        # A wrong offset is one that can't be sought; any other OSError is the machine's.
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        raise Fault.CORRUPT_FILE.error(f"{name!r} is damaged: {error}.") from error


def check_zip(path: Path, name: str, workdir: Path) -> None:
    """Read every entry of a ZIP archive, and of the archives in it, and keep nothing."""
    _check(path, name, workdir, nesting=1, budget=limits.ZIP_ALL_BYTES)


def _check(path: Path, name: str, workdir: Path, *, nesting: int, budget: int) -> int:
    """The bytes left of a budget of unpacked bytes that all nested archives share."""
    if nesting > limits.ZIP_NESTING:
        raise Fault.ZIP_BOMB.error(
            f"{name!r} holds archives in archives deeper than {limits.ZIP_NESTING}."
        )
    with opened_zip(path, name) as archive:
        for entry in archive.infolist():
            if _UNSAFE.search(entry.filename):
                raise Fault.UNSAFE_PATH.error(f"{name!r} has an entry {entry.filename[:100]!r}.")
            if entry.flag_bits & _ENCRYPTED_FLAG:
                raise Fault.ENCRYPTED_FILE.error(f"{name!r} has entries under a password.")
            budget -= entry.file_size
            if budget < 0:
                raise Fault.ZIP_BOMB.error(
                    f"{name!r}, with the archives in it, unfolds to more than "
                    f"{limits.ZIP_ALL_BYTES:,} bytes."
                )
            if entry.compress_type not in _METHODS:
                raise Fault.UNSUPPORTED_FORMAT.error(
                    f"{name!r} is packed by method {entry.compress_type}, not stored or deflated."
                )
            with archive.open(entry) as content, NamedTemporaryFile(dir=workdir) as nested:
                start = content.read(4)
                if start != b"PK\x03\x04":
                    while content.read(limits.MIB):
                        pass
                    continue
                if entry.file_size > limits.NESTED_ZIP_BYTES:
                    raise Fault.ZIP_BOMB.error(
                        f"{name!r} holds an archive of {entry.file_size:,} bytes."
                    )
                nested.write(start)
                shutil.copyfileobj(content, nested, limits.MIB)
                nested.flush()
                inner = Path(nested.name)
                budget = _check(inner, name, workdir, nesting=nesting + 1, budget=budget)
    return budget
