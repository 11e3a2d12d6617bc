"""The cost of ``process-file`` for large files: seconds and peak memory, each in a fresh process.

    python -m bench.files

A worker of ``FILES`` has 2 GiB for each process. Every line must stay under 1 GiB.
"""

from __future__ import annotations

import csv
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from celeriac.testing.context import FakeContext
from tasks.process_file import ProcessFile, process_file

LIMIT_MIB = 1024
ROWS = 2_000_000
# 50 megapixels, three to two.
WIDTH, HEIGHT = 8_660, 5_774

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "50 MP JPEG: look and thumbnail": (
        "photo.jpg",
        {"validate": True, "extract_metadata": True, "thumbnail": True},
    ),
    "50 MP JPEG: all to WebP": (
        "photo.jpg",
        {
            "validate": True,
            "extract_metadata": True,
            "compress": {"quality": 70},
            "convert": {"format": "webp"},
            "thumbnail": True,
        },
    ),
    "50 MP JPEG: fit into 1 MB": ("photo.jpg", {"compress": {"target_bytes": 1_000_000}}),
    "50 MP JPEG: to AVIF of 5,000 px": (
        "photo.jpg",
        {"convert": {"format": "avif", "max_side": 5_000}},
    ),
    "2 M rows of CSV: look and to Parquet": (
        "table.csv",
        {"validate": True, "extract_metadata": True, "convert": {"format": "parquet"}},
    ),
    "2 M rows of CSV: to JSON lines": ("table.csv", {"convert": {"format": "jsonl"}}),
    "2 M rows of CSV: gzip": ("table.csv", {"compress": True}),
    "1 M rows of CSV: to XLSX": ("half.csv", {"convert": {"format": "xlsx"}}),
}


def main() -> int:
    """Print a line for each case. Return 1 if one exceeded the limit."""
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        make_files(Path(folder))
        for name, (file, _) in CASES.items():
            size = Path(folder, file).stat().st_size / 1e6
            seconds, peak = map(float, _this_module(name, str(Path(folder, file))).split())
            worst = max(worst, peak)
            print(f"{name:40} {size:6.0f} MB in {seconds:6.1f} s {peak:6.0f} MiB at most")
    print(f"{'within' if worst < LIMIT_MIB else 'OVER'} {LIMIT_MIB} MiB")
    return int(worst >= LIMIT_MIB)


def measure(name: str, path: Path) -> tuple[float, float]:
    """Run a case in this process. Return seconds, and the process's peak resident memory in MiB."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as workdir:
        context = FakeContext(
            Path(workdir), deadline=datetime.now(UTC) + timedelta(hours=1), files={path.name: path}
        )
        payload = ProcessFile.model_validate({"file_key": path.name, "operations": CASES[name][1]})
        process_file(payload, context)
    return time.perf_counter() - started, _peak_mib()


def _peak_mib() -> float:
    if sys.platform != "linux":
        # macOS counts bytes: getrusage(2).
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    # Linux's getrusage starts from the peak of the parent process.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    if found is None:
        raise RuntimeError("/proc/self/status has no VmHWM line, which proc(5) promises.")
    return int(found[1]) / 2**10


def make_files(folder: Path) -> None:
    """Make the files that the cases name."""
    make_photo(folder / "photo.jpg", WIDTH, HEIGHT)
    make_table(folder / "table.csv", ROWS)
    make_table(folder / "half.csv", ROWS // 2)


def make_photo(path: Path, width: int, height: int) -> None:
    """A JPEG with the grain of a photograph."""
    from PIL import Image

    grain = Image.effect_noise((width // 4, height // 4), 60).resize((width, height))
    light = Image.linear_gradient("L").resize((width, height))
    Image.blend(grain, light, 0.5).convert("RGB").save(path, quality=90)


def make_table(path: Path, rows: int) -> None:
    """A CSV file of orders: numbers, dates, text and gaps."""
    rng = random.Random(7)
    words = ["north", "south", "east, west", 'the "best"', "", "Ёлка"]
    start = datetime(2024, 1, 1, tzinfo=UTC)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "placed_at", "region", "amount", "quantity", "note"])
        for number in range(rows):
            placed = start + timedelta(seconds=number * 15)
            writer.writerow(
                [
                    number,
                    f"{placed:%Y-%m-%d %H:%M:%S}",
                    rng.choice(words),
                    f"{rng.random() * 1000:.2f}",
                    rng.randrange(100),
                    f"order {rng.getrandbits(48):x}",
                ]
            )


def _this_module(*arguments: str) -> str:
    command = [sys.executable, "-m", "bench.files", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603


if __name__ == "__main__":
    match sys.argv[1:]:
        case []:
            sys.exit(main())
        case [name, path]:
            print(*measure(name, Path(path)))
        case _:
            sys.exit(__doc__)
