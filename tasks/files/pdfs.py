"""PDF: pages, title and encryption, and the same document with its streams compressed again."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from tasks.files import limits
from tasks.files.kinds import PDF
from tasks.files.metadata import FileMetadata, PdfMetadata
from tasks.files.operations import Compress, ExtractMetadata, Validate
from tasks.files.source import Output, Source
from tasks.shared.faults import Fault

if TYPE_CHECKING:
    from pypdf import PdfReader
    from pypdf.generic import StreamObject

# pypdf raises these on broken content, next to its own errors, as its documentation says.
_PARSER_ERRORS = (
    *(ValueError, KeyError, IndexError, TypeError, AttributeError, AssertionError, OSError),
    *(RecursionError, NotImplementedError, OverflowError, EOFError, struct.error, zlib.error),
)
_TITLE_CHARACTERS = 500
# ISO 32000-1, 7.5.5 and Adobe's implementation note 18: the mark stands in the last 1,024 bytes.
_END, _END_WITHIN = b"%%EOF", 1024
# These streams are image files, and stay as they are.
_IMAGE_FILTERS = {"/DCTDecode", "/JPXDecode", "/CCITTFaxDecode", "/JBIG2Decode"}


class PdfSource(Source):
    """A PDF. It may be encrypted even if it opens without a password."""

    max_bytes = limits.PDF_BYTES

    def decode(self, wanted: Validate) -> None:
        """Read every page and every stream, and discard them."""
        self._check_readable()
        with self._parsing():
            self._check_pages(min(wanted.max_pages or limits.PDF_PAGES, limits.PDF_PAGES))
            for page in self._reader.pages:
                _ = page.mediabox
            unpacked = 0
            for stream in self._streams():
                unpacked += _unpacked_bytes(stream)
                if unpacked > limits.PDF_ALL_STREAMS_BYTES:
                    raise Fault.DECOMPRESSION_BOMB.error(
                        f"The streams of {self.name!r} unpack {self.size:,} bytes to more than "
                        f"{limits.PDF_ALL_STREAMS_BYTES:,}."
                    )

    def describe(self, wanted: ExtractMetadata) -> FileMetadata:
        found = super().describe(wanted)
        with self._parsing():
            reader = self._reader
            found.pdf = PdfMetadata(
                version=reader.pdf_header.removeprefix("%PDF-"), encrypted=reader.is_encrypted
            )
            if not self._locked:
                info = reader.metadata
                found.pdf.pages = len(reader.pages)
                found.pdf.title = _told(info.title if info else None)
                found.pdf.author = _told(info.author if info else None)
                found.pdf.producer = _told(info.producer if info else None)
        return found

    def compress(self, wanted: Compress) -> Output:
        from pypdf import PdfWriter

        self._refuse_image_options(wanted)
        if self._reader.is_encrypted:
            raise Fault.ENCRYPTED_FILE.error(
                f"Compressing {self.name!r} would lift its encryption."
            )
        path = self.output_path(PDF.extensions[0], "-compressed")
        with self._parsing():
            self._check_pages(limits.PDF_PAGES)
            writer = PdfWriter(clone_from=self._reader)
            for found in writer._objects:  # noqa: SLF001 - pypdf has no public way to all objects
                _pack(found)
            writer.compress_identical_objects()
            writer.write(path)
        return self.not_larger(Output(path.name, path, PDF.content_type))

    @cached_property
    def _reader(self) -> PdfReader:
        from pypdf import PdfReader

        self._check_end()
        with self._parsing():
            return PdfReader(self.path)

    @property
    def _locked(self) -> bool:
        """Whether reading takes a password that isn't empty."""
        from pypdf import PasswordType

        return self._reader.is_encrypted and (
            self._reader.decrypt("") is PasswordType.NOT_DECRYPTED
        )

    def _check_end(self) -> None:
        with self.path.open("rb") as file:
            file.seek(max(0, self.size - _END_WITHIN))
            if _END not in file.read():
                raise Fault.TRUNCATED_FILE.error(f"{self.name!r} ends without {_END.decode()}.")

    def _check_readable(self) -> None:
        with self._parsing():
            if self._locked:
                raise Fault.ENCRYPTED_FILE.error(f"{self.name!r} opens with a password only.")

    def _check_pages(self, allowed: int) -> None:
        pages = len(self._reader.pages)
        if pages > allowed:
            raise Fault.TOO_MANY_PAGES.error(
                f"{self.name!r} has {pages:,} pages; {allowed:,} are allowed."
            )
        if pages == 0:
            raise Fault.CORRUPT_FILE.error(f"{self.name!r} has no pages.")

    def _streams(self) -> Iterator[StreamObject]:
        """Every stream of the file, reachable from a page or not."""
        from pypdf.generic import IndirectObject, StreamObject

        reader = self._reader
        ids = {
            (number, generation) for generation in reader.xref for number in reader.xref[generation]
        }
        ids |= {(number, 0) for number in reader.xref_objStm}
        if len(ids) > limits.PDF_OBJECTS:
            raise Fault.TOO_MUCH_MEMORY.error(
                f"{self.name!r} has {len(ids):,} objects; {limits.PDF_OBJECTS:,} are allowed."
            )
        for number, generation in sorted(ids):
            found = reader.get_object(IndirectObject(number, generation, reader))
            if isinstance(found, StreamObject):
                yield found

    @contextmanager
    def _parsing(self) -> Iterator[None]:
        """Bound the bytes that pypdf unpacks, and turn its errors into faults."""
        from pypdf import apply_configuration, errors

        try:
            with apply_configuration(
                zlib_maximum_output_length=limits.PDF_STREAM_BYTES,
                lzw_maximum_output_length=limits.PDF_STREAM_BYTES,
                run_length_maximum_output_length=limits.PDF_STREAM_BYTES,
                brotli_maximum_output_length=limits.PDF_STREAM_BYTES,
                array_based_stream_maximum_output_length=limits.PDF_STREAM_BYTES,
                # pypdf must run no other program on a caller's file.
                jbig2dec_binary=None,
            ):
                yield
        except errors.FileNotDecryptedError as error:
            raise Fault.ENCRYPTED_FILE.error(
                f"{self.name!r} opens with a password only."
            ) from error
        except errors.LimitReachedError as error:
            circular = any(word in str(error).lower() for word in ("cycl", "loop"))
            fault = Fault.CORRUPT_FILE if circular else Fault.DECOMPRESSION_BOMB
            raise fault.error(f"{self.name!r}: {error}") from error
        except (errors.PyPdfError, errors.DependencyError, *_PARSER_ERRORS) as error:
            raise Fault.CORRUPT_FILE.error(f"{self.name!r} can't be parsed as PDF.") from error


def _unpacked_bytes(stream: StreamObject) -> int:
    """Count the bytes of the decoded stream. Images in formats of their own are not decoded.

    zlib decodes it directly: pypdf repairs broken streams silently, and keeps all bytes in memory.
    """
    from pypdf import errors
    from pypdf.constants import FilterTypes

    packed = stream._data  # noqa: SLF001 - pypdf has no public way to a stream's encoded bytes
    filters = _filters(stream)
    if filters == [FilterTypes.FLATE_DECODE]:
        unpacker = zlib.decompressobj()
        total = 0
        while packed and not unpacker.eof:
            total += len(unpacker.decompress(packed, limits.MIB))
            packed = unpacker.unconsumed_tail
            if total > limits.PDF_STREAM_BYTES:
                raise errors.LimitReachedError(
                    f"a stream unpacks to more than {limits.PDF_STREAM_BYTES:,} bytes."
                )
        return total
    if _IMAGE_FILTERS.intersection(filters):
        return len(packed)
    return len(stream.get_data())


def _pack(found: object) -> None:
    """Deflate a stream that isn't an image file, if that makes it smaller."""
    from pypdf.constants import FilterTypes, StreamAttributes
    from pypdf.generic import EncodedStreamObject, NameObject, StreamObject

    if not isinstance(found, StreamObject):
        return
    packed = found._data  # noqa: SLF001 - as above
    filters = _filters(found)
    # Pixels compress better with a predictor than as plain bytes.
    if _IMAGE_FILTERS.intersection(filters) or StreamAttributes.DECODE_PARMS in found:
        return
    tighter = zlib.compress(found.get_data(), 9)
    if isinstance(found, EncodedStreamObject):
        # pypdf would keep the decoded copies of all streams here.
        found.decoded_self = None
    if len(tighter) < len(packed):
        StreamObject.set_data(found, tighter)
        found[NameObject(StreamAttributes.FILTER)] = NameObject(FilterTypes.FLATE_DECODE)


def _filters(stream: StreamObject) -> list[str]:
    from pypdf.generic import ArrayObject

    found = stream.get("/Filter", ())
    resolved = found.get_object() if hasattr(found, "get_object") else found
    if isinstance(resolved, ArrayObject | tuple):
        return [str(each) for each in resolved]
    return [str(resolved)]


def _told(value: str | None) -> str | None:
    return str(value)[:_TITLE_CHARACTERS] if value else None
