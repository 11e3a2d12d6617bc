"""ZIP archives and gzip files: their contents, and bombs recognised before they unpack."""

from __future__ import annotations

import gzip
import re
import shutil
import zlib
from pathlib import Path
from tempfile import NamedTemporaryFile

from tasks.files import limits
from tasks.files.kinds import ZIP
from tasks.files.metadata import ArchiveMetadata, FileMetadata
from tasks.files.operations import ExtractMetadata, Validate
from tasks.files.source import Source
from tasks.shared.faults import Fault
from tasks.shared.zips import METHODS, is_bomb, opened_zip

_UNSAFE = re.compile(r"^[/\\]|^[A-Za-z]:|(^|[/\\])\.\.([/\\]|$)")
_ENCRYPTED_FLAG = 0x1


class ArchiveSource(Source):
    """A ZIP archive, a file packed as one (DOCX, EPUB, …), or a gzip file."""

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
                            f"{self.name!r} unpacks {self.size:,} bytes to more than {total:,}."
                        )
        except EOFError as error:
            raise Fault.TRUNCATED_FILE.error(f"{self.name!r} ends early.") from error
        except (gzip.BadGzipFile, zlib.error) as error:
            raise Fault.CORRUPT_FILE.error(f"{self.name!r} is damaged: {error}.") from error


def check_zip(path: Path, name: str, workdir: Path) -> None:
    """Read every entry of a ZIP archive and of the archives in it, and discard the contents."""
    _check(path, name, workdir, nesting=1, budget=limits.ZIP_ALL_BYTES)


def _check(path: Path, name: str, workdir: Path, *, nesting: int, budget: int) -> int:
    """Return the rest of the budget of unpacked bytes, which all nested archives share."""
    if nesting > limits.ZIP_NESTING:
        raise Fault.ZIP_BOMB.error(
            f"{name!r} holds archives in archives deeper than {limits.ZIP_NESTING}."
        )
    with opened_zip(path, name) as archive:
        for entry in archive.infolist():
            if _UNSAFE.search(entry.filename):
                raise Fault.UNSAFE_PATH.error(f"{name!r} has an entry {entry.filename[:100]!r}.")
            if entry.flag_bits & _ENCRYPTED_FLAG:
                raise Fault.ENCRYPTED_FILE.error(f"{name!r} has entries protected by a password.")
            budget -= entry.file_size
            if budget < 0:
                raise Fault.ZIP_BOMB.error(
                    f"{name!r}, with the archives in it, unpacks to more than "
                    f"{limits.ZIP_ALL_BYTES:,} bytes."
                )
            if entry.compress_type not in METHODS:
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
