"""The bounds of archives, sheets and tables, whichever task type reads them."""

from __future__ import annotations

KIB, MIB, GIB = 2**10, 2**20, 2**30

ZIP_ENTRIES = 10_000
# Names included. An entry takes 46 bytes and its name.
ZIP_DIRECTORY_BYTES = 16 * MIB
ZIP_ALL_BYTES = 1 * GIB
# Deflate reaches 1,032 to 1 at most; text and logs about 20, a sheet of equal cells about 200.
ZIP_RATIO = 300
# Below this an archive is harmless whatever its ratio.
ZIP_HARMLESS_BYTES = 10 * MIB

# A line of JSON lines, and a record of CSV with all its lines.
TABLE_LINE_BYTES = 1 * MIB

# The size of a sheet: "Excel specifications and limits" at support.microsoft.com.
SHEET_ROWS = 1_048_576
SHEET_COLUMNS = 16_384
SHEET_CELL_CHARACTERS = 32_767
# Excel allows as many sheets as fit into memory, and 65,490 cell formats.
SHEETS = 1_000
SHEET_FORMATS = 70_000
# A workbook's texts are held whole: the characters of all and their number.
SHARED_CHARACTERS = 64 * MIB
SHARED_STRINGS = 2_000_000
# A tag, an attribute or a run of text of a genuine part is far shorter.
XML_TOKEN_BYTES = 4 * MIB
