"""Every error type that a file can end in. ``docs/tasks/process-file.md`` shows this table."""

from __future__ import annotations

from enum import Enum

from tasks.contract import PermanentError


class Fault(Enum):
    """A stable error type, when it is raised, and what the caller can do about it."""

    EMPTY_FILE = ("empty-file", "The file has no bytes.", "Upload it again.")
    FILE_TOO_LARGE = (
        "file-too-large",
        "The file is larger than its kind may be, or than `validate.max_bytes`.",
        "Send a smaller file, or split it.",
    )
    UNSUPPORTED_FORMAT = (
        "unsupported-format",
        "The content is of no kind that this task type can read.",
        "Send an image, a PDF, a table, an XLSX workbook, a ZIP or gzip archive, or text.",
    )
    TYPE_MISMATCH = (
        "type-mismatch",
        "The name's extension promises another kind than the content is.",
        "Rename the file, or send the one that was meant.",
    )
    TYPE_NOT_ALLOWED = (
        "type-not-allowed",
        "The content is of a kind that `validate.types` leaves out.",
        "Send one of the types asked for.",
    )
    TRUNCATED_FILE = (
        "truncated-file",
        "The file ends before its content does.",
        "Upload it again, whole.",
    )
    CORRUPT_FILE = (
        "corrupt-file",
        "The content breaks the rules of its own format.",
        "Export it again from the program that made it.",
    )
    ENCRYPTED_FILE = (
        "encrypted-file",
        "The content can't be read without a password.",
        "Remove the password and upload it again.",
    )
    TOO_MANY_PIXELS = (
        "too-many-pixels",
        "The image has more pixels than the limit, or than `validate.max_pixels`.",
        "Scale it down first.",
    )
    DECOMPRESSION_BOMB = (
        "decompression-bomb",
        "A few bytes would unfold to far more memory than an honest file of that size.",
        "Send an honest file.",
    )
    ZIP_BOMB = (
        "zip-bomb",
        "An archive would unfold beyond the limits of ratio, size, entries or nesting.",
        "Send the files by themselves, or in smaller archives.",
    )
    UNSAFE_PATH = (
        "unsafe-path",
        "An archive's entry would be written outside its folder (`../`, `/` or a drive).",
        "Pack it again with relative names.",
    )
    TOO_MANY_PAGES = (
        "too-many-pages",
        "The PDF has more pages than the limit, or than `validate.max_pages`.",
        "Split it.",
    )
    TOO_MANY_FRAMES = (
        "too-many-frames",
        "The animation, or the image of many pages, has too many frames or too many pixels in all.",
        "Split it.",
    )
    ANIMATED_IMAGE = (
        "animated-image",
        "Compressing or converting would keep only the first of several frames.",
        "Send a still image; metadata and thumbnails work for animations too.",
    )
    MALFORMED_TABLE = (
        "malformed-table",
        "A row doesn't fit the others, a quote doesn't close or a line isn't JSON.",
        "Mend the line that the detail names.",
    )
    TOO_MANY_COLUMNS = (
        "too-many-columns",
        "The table has more columns than the limit.",
        "Send fewer columns.",
    )
    TOO_MANY_ROWS = (
        "too-many-rows",
        "The table has more rows, or cells, than the target format or the limit allows.",
        "Split it, or convert to `parquet`.",
    )
    UNKNOWN_ENCODING = (
        "unknown-encoding",
        "The text is in no encoding that is recognised, or not in the one named.",
        "Save it as UTF-8, or name its `encoding`.",
    )
    UNSUPPORTED_OPERATION = (
        "unsupported-operation",
        "This kind of file has no such operation, such as a thumbnail of a table.",
        "Leave the operation out.",
    )
    UNSUPPORTED_CONVERSION = (
        "unsupported-conversion",
        "There is no way from this kind of file to the format asked for.",
        "Ask for one of the formats that the detail lists.",
    )
    TARGET_UNREACHABLE = (
        "target-unreachable",
        "No quality and size of the image fits into `compress.target_bytes`.",
        "Allow more bytes.",
    )
    OUTPUT_TOO_LARGE = (
        "output-too-large",
        "The result would be larger than the limit.",
        "Split the file, or choose a denser format.",
    )
    TOO_MUCH_MEMORY = (
        "too-much-memory",
        "The file needs more memory to process than one task may use.",
        "Send a smaller or simpler file.",
    )
    NO_OPERATION = (
        "no-operation",
        "`operations` asks for nothing.",
        "Name at least one operation.",
    )

    def __init__(self, type: str, when: str, remedy: str) -> None:
        self.type = type
        self.when = when
        self.remedy = remedy

    def error(self, detail: str | None = None) -> PermanentError:
        """The error to raise: ``detail`` says what is wrong with this very file."""
        return PermanentError(f"{detail or self.when} {self.remedy}", type=self.type)
