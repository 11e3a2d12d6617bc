"""Files whose first or last bytes show that they are binary, cut short or encrypted."""

from __future__ import annotations

import re
from pathlib import Path

from tasks.shared.faults import Fault

PARQUET_MAGIC = b"PAR1"
ENCRYPTED_PARQUET_MAGIC = b"PARE"
OLE_MAGIC = bytes.fromhex("d0cf11e0a1b11ae1")
# Office keeps a document under a password in a stream of this name: [MS-OFFCRYPTO] 2.3.4.4.
_ENCRYPTED_PACKAGE = "EncryptedPackage".encode("utf-16-le")
_CHUNK = 2**20


# Control characters that occur in no text, whatever its encoding.
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")


def is_binary(head: bytes) -> bool:
    """Whether the start of a file without a byte order mark has bytes that no text has."""
    return _BINARY.search(head) is not None


def check_parquet(path: Path, name: str) -> None:
    """Check that a Parquet file has its footer, and that it isn't encrypted.

    Raises:
        PermanentError: ``encrypted-file`` or ``truncated-file``.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(4)
        file.seek(-min(4, size), 2)
        end = file.read(4)
    if ENCRYPTED_PARQUET_MAGIC in (start, end):
        raise Fault.ENCRYPTED_FILE.error(f"{name!r} is encrypted Parquet.")
    if end != PARQUET_MAGIC or size < len(b"PAR1....PAR1"):
        raise Fault.TRUNCATED_FILE.error(f"{name!r} ends without Parquet's footer.")


def check_office(path: Path, name: str) -> None:
    """Check that an OLE file isn't an Office document under a password.

    Raises:
        PermanentError: ``encrypted-file``.
    """
    tail = b""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            if _ENCRYPTED_PACKAGE in tail + chunk:
                raise Fault.ENCRYPTED_FILE.error(
                    f"{name!r} is an Office document protected by a password."
                )
            tail = chunk[-len(_ENCRYPTED_PACKAGE) :]
