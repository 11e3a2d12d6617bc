"""Text: its encoding, its lines, and whether JSON is JSON."""

from __future__ import annotations

import json
from functools import cached_property

from tasks.files import limits
from tasks.files.kinds import JSON
from tasks.files.metadata import FileMetadata, TextMetadata
from tasks.files.operations import ExtractMetadata, Validate
from tasks.files.source import Source
from tasks.shared.encodings import Text, read_text
from tasks.shared.faults import Fault


class TextSource(Source):
    """Text of any kind. HTML and SVG are described and packed, never rendered."""

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
