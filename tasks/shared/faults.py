"""The error types of files: one upload gets one type, whichever task reads it.

``docs/tasks/process-file.md`` and ``docs/tasks/generate-report.md`` list the types that each task
raises, in these words and this order.
"""

from __future__ import annotations

from enum import Enum

from celeriac import PermanentError


class Fault(Enum):
    """A stable error type, when it is raised, and what the caller can do about it.

    The first group is about files in general, the second about the operations of ``process-file``,
    and the third about the parameters of ``generate-report``.
    """

    EMPTY_FILE = (
        "empty-file",
        "The file has no bytes, or no rows to report on.",
        "Upload it again.",
    )
    FILE_TOO_LARGE = (
        "file-too-large",
        "The file exceeds the limit of its kind, or `validate.max_bytes`.",
        "Send a smaller file, or split it.",
    )
    UNSUPPORTED_FORMAT = (
        "unsupported-format",
        "This task type can't read files of this kind.",
        "Send an image, a PDF, a table, an XLSX workbook, a ZIP or gzip archive, or text.",
    )
    TYPE_MISMATCH = (
        "type-mismatch",
        "The name's extension stands for another kind of file than the content is.",
        "Rename the file, or send the right one.",
    )
    TRUNCATED_FILE = (
        "truncated-file",
        "The file ends before its content does.",
        "Upload the whole file again.",
    )
    CORRUPT_FILE = (
        "corrupt-file",
        "The content breaks the rules of its own format.",
        "Export it again from the program that wrote it.",
    )
    ENCRYPTED_FILE = (
        "encrypted-file",
        "The content can't be read without a password.",
        "Remove the password and upload it again.",
    )
    UNKNOWN_ENCODING = (
        "unknown-encoding",
        "The encoding of the text is not recognised, or is not the one named in `encoding`.",
        "Save it as UTF-8, or name its `encoding`.",
    )
    MALFORMED_TABLE = (
        "malformed-table",
        "A row doesn't fit the others, a quote doesn't close or a line isn't JSON.",
        "Correct the line that the detail names.",
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
    TOO_MANY_PIXELS = (
        "too-many-pixels",
        "The image has more pixels than the limit or `validate.max_pixels` allows.",
        "Scale it down first.",
    )
    TOO_MANY_PAGES = (
        "too-many-pages",
        "The PDF has more pages than the limit or `validate.max_pages` allows.",
        "Split it.",
    )
    TOO_MANY_FRAMES = (
        "too-many-frames",
        "The animation or multi-page image has too many frames, or too many pixels in total.",
        "Split it.",
    )
    DECOMPRESSION_BOMB = (
        "decompression-bomb",
        "A few bytes would unpack to far more memory than a genuine file of that size needs.",
        "Send a genuine file.",
    )
    ZIP_BOMB = (
        "zip-bomb",
        "The archive exceeds a limit: compression ratio, unpacked size, entries or nesting.",
        "Send the files without the archive, or in smaller archives.",
    )
    UNSAFE_PATH = (
        "unsafe-path",
        "An entry of the archive would be written outside its folder (`../`, `/` or a drive).",
        "Pack it again with relative names.",
    )
    TOO_MUCH_MEMORY = (
        "too-much-memory",
        "The file needs more memory to process than one task may use.",
        "Send a smaller or simpler file.",
    )
    TOO_MUCH_TIME = (
        "too-much-time",
        "The file takes longer to process than one task may.",
        "Send a smaller or simpler file.",
    )
    INTERNAL_ERROR = (
        "internal-error",
        "Reading the file failed for a reason that isn't the file's.",
        "Tell the operators the task's id: the log has the reason.",
    )

    NO_OPERATION = (
        "no-operation",
        "`operations` is empty.",
        "Name at least one operation.",
    )
    TYPE_NOT_ALLOWED = (
        "type-not-allowed",
        "The content type is not in `validate.types`.",
        "Send a file of one of these types.",
    )
    UNSUPPORTED_OPERATION = (
        "unsupported-operation",
        "The operation doesn't exist for this kind of file, such as a thumbnail of a table.",
        "Leave the operation out.",
    )
    UNSUPPORTED_CONVERSION = (
        "unsupported-conversion",
        "This kind of file can't be converted to that format.",
        "Choose one of the formats that the detail lists.",
    )
    ANIMATED_IMAGE = (
        "animated-image",
        "Compressing or converting would keep only the first of several frames.",
        "Send a still image; metadata and thumbnails work for animations too.",
    )
    SEVERAL_PAGES = (
        "several-pages",
        "Compressing or converting would keep only the first of several pages.",
        "Send the pages one by one; metadata and thumbnails work for several too.",
    )
    TARGET_UNREACHABLE = (
        "target-unreachable",
        "The image exceeds `compress.target_bytes` at every quality and size.",
        "Allow more bytes.",
    )
    OUTPUT_TOO_LARGE = (
        "output-too-large",
        "The result would exceed the limit.",
        "Split the file, or choose a denser format.",
    )

    MISSING_SHEET = (
        "missing-sheet",
        "The workbook has no sheet of the name in `sheet`.",
        "Name one of its sheets.",
    )
    MISSING_COLUMN = (
        "missing-column",
        "The file lacks a column that the report needs.",
        "Add the column, or name another in `columns`.",
    )
    AMBIGUOUS_COLUMN = (
        "ambiguous-column",
        "More than one column of the file fits.",
        "Name one of them in `columns`.",
    )
    WRONG_TYPE = (
        "wrong-type",
        "A column holds values that are not numbers, or not dates.",
        "Correct the values that the detail names.",
    )
    UNKNOWN_KIND = (
        "unknown-kind",
        "The `kind` column holds a word that is neither revenue nor expense.",
        "Use one of the words that the detail lists.",
    )
    TOO_MANY_PERIODS = (
        "too-many-periods",
        "The period has too many steps for one report.",
        "Choose a shorter period or a coarser granularity.",
    )

    def __init__(self, type: str, when: str, remedy: str) -> None:
        self.type = type
        self.when = when
        self.remedy = remedy

    def error(self, detail: str | None = None, remedy: str | None = None) -> PermanentError:
        """The error to raise: ``detail`` says what is wrong with this file.

        ``remedy`` replaces the general advice where better advice is known.
        """
        return PermanentError(f"{detail or self.when} {remedy or self.remedy}", type=self.type)
