"""Every number that bounds the work, so that no file can hang, fill or kill a worker.

A worker of ``FILES`` has 2 GiB for each process, and these numbers keep one task under 1 GiB.
``python -m bench.files`` measures it.
"""

from __future__ import annotations

from datetime import timedelta

from tasks.shared.limits import (
    GIB,
    KIB,
    MIB,
    SHEET_CELL_CHARACTERS,
    SHEET_ROWS,
    TABLE_LINE_BYTES,
    ZIP_ALL_BYTES,
    ZIP_ENTRIES,
    ZIP_HARMLESS_BYTES,
    ZIP_RATIO,
)

__all__ = [
    "GIB",
    "KIB",
    "MIB",
    "SHEET_CELL_CHARACTERS",
    "SHEET_ROWS",
    "TABLE_LINE_BYTES",
    "ZIP_ALL_BYTES",
    "ZIP_ENTRIES",
    "ZIP_HARMLESS_BYTES",
    "ZIP_RATIO",
]

TIME_LIMIT = timedelta(minutes=10)

# The memory that one task may add to its process's, and the size of one output file. This is the
# last resort, above the limits below: an encoder that gets no memory may crash, as libaom does.
MEMORY_BYTES = 1536 * MIB
OUTPUT_BYTES = 2 * GIB

# By family. Images and PDFs are read whole by their libraries; the rest is streamed.
IMAGE_BYTES = 128 * MIB
PDF_BYTES = 128 * MIB
STREAMED_BYTES = 2 * GIB

# 64 megapixels are 256 MiB at four bytes each, and turning an image upright holds it twice.
IMAGE_PIXELS = 64 * MIB
# The memory for encoding one image, both layouts of the picture included.
IMAGE_MEMORY = 1000 * MIB
IMAGE_FRAMES = 500
ALL_FRAMES_PIXELS = 8 * IMAGE_PIXELS
# A photograph has about 10 pixels per byte, a screenshot up to 300.
BOMB_PIXELS_PER_BYTE = 1_000
EXIF_TAGS = 100
EXIF_VALUE_CHARACTERS = 200

PDF_PAGES = 2_000
PDF_OBJECTS = 200_000
PDF_STREAM_BYTES = 64 * MIB
PDF_ALL_STREAMS_BYTES = 1 * GIB

ZIP_NESTING = 3
NESTED_ZIP_BYTES = 64 * MIB

TABLE_COLUMNS = 2_000
TABLE_ROWS = 50_000_000
TABLE_MEMORY = "384MiB"
TABLE_SPILL = "4GiB"

# About 100,000 cells are written per second.
SHEET_CELLS = 10_000_000

TEXT_SAMPLE_BYTES = 64 * KIB
# One JSON value takes about ten times its size in memory.
JSON_BYTES = 16 * MIB
