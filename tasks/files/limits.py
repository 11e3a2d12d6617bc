"""Every number that bounds the work, so that no file can hang, fill or kill a worker.

A worker of ``Queue.FILES`` has 2 GiB a process; the numbers are chosen so that one task stays
under 1 GiB. ``python -m bench.files`` measures it.
"""

from __future__ import annotations

from datetime import timedelta

KIB, MIB, GIB = 2**10, 2**20, 2**30

TIME_LIMIT = timedelta(minutes=10)

# What one task may use beyond what its process already holds, and write to one file. The last
# resort, above what the limits below allow: an encoder that gets no memory may crash (libaom does).
MEMORY_BYTES = 1536 * MIB
OUTPUT_BYTES = 2 * GIB

# By family. Images and PDFs are read whole by their libraries; the rest is streamed.
IMAGE_BYTES = 128 * MIB
PDF_BYTES = 128 * MIB
STREAMED_BYTES = 2 * GIB

# 64 megapixels are 256 MiB at four bytes each, and turning an image upright holds it twice.
IMAGE_PIXELS = 64 * MIB
# What the encoding of one image may take, both layouts of the picture included.
IMAGE_MEMORY = 1000 * MIB
IMAGE_FRAMES = 500
ALL_FRAMES_PIXELS = 8 * IMAGE_PIXELS
# A photograph has some 10 pixels a byte and a screenshot up to 300.
BOMB_PIXELS_PER_BYTE = 1_000
EXIF_TAGS = 100
EXIF_VALUE_CHARACTERS = 200

PDF_PAGES = 2_000
PDF_OBJECTS = 200_000
PDF_STREAM_BYTES = 64 * MIB
PDF_ALL_STREAMS_BYTES = 1 * GIB

ZIP_ENTRIES = 10_000
ZIP_ALL_BYTES = 1 * GIB
# Deflate can't pass 1,032 to 1; text and logs reach some 20, a sheet of equal cells some 200.
ZIP_RATIO = 300
# Below this an archive is harmless whatever its ratio.
ZIP_HARMLESS_BYTES = 10 * MIB
ZIP_NESTING = 3
NESTED_ZIP_BYTES = 64 * MIB

TABLE_COLUMNS = 2_000
TABLE_ROWS = 50_000_000
TABLE_LINE_BYTES = 1 * MIB
TABLE_MEMORY = "384MiB"
TABLE_SPILL = "4GiB"

# Where a sheet ends, says "Excel specifications and limits" at support.microsoft.com.
SHEET_ROWS = 1_048_576
SHEET_CELL_CHARACTERS = 32_767
# Some 100,000 cells are written a second.
SHEET_CELLS = 10_000_000

TEXT_SAMPLE_BYTES = 64 * KIB
# One JSON value is held in memory at some ten times its size.
JSON_BYTES = 16 * MIB
