"""Fetch Celery's source, and run the suite in it: ``python -m tests.celerys_own [OPTION…]``.

Options are pytest's. Needs ``redis-server`` (Debian: redis-server) and the network, once.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "celery-suite"
#: The files that test what a broker and a result backend of any kind do.
FILES = ("test_tasks.py", "test_canvas.py", "test_group_chains.py")
#: Celery's own limit. Some tests wait for minutes, for what mustn't come.
TEST_SECONDS = 300

CONFTEST = "from tests.celerys_own.fixtures import *  # noqa: F403\n"
SETTINGS = "[pytest]\npython_classes = test_*\nmarkers =\n    flaky\n    timeout\n"
PINNED = re.compile(r"^celery==.+\n(?:    --hash=.+\n)+", re.MULTILINE)
ONLY_ON_REDIS = re.compile(r"""result_backend\.startswith\((['"])redis['"]\)""")


class SuiteError(Exception):
    """The suite can't be run; the text says why."""


def main(options: list[str]) -> int:
    try:
        fetch()
        with redis() as port:
            return max(run(options, port, embedded) for embedded in (False, True))
    except SuiteError as error:
        sys.stderr.write(f"{error}\n")
        return 2


def run(options: list[str], port: int, embedded: bool) -> int:
    """Run the tests whose worker is a process of its own, or those that look into theirs."""
    return subprocess.call(
        [sys.executable, "-m", "pytest", f"--timeout={TEST_SECONDS}", *options]
        + [f"t/integration/{name}" for name in FILES],
        cwd=BUILD,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(BUILD), str(ROOT)]),
            "REDIS_PORT": str(port),
            "CELERIAC_SUITE_EMBEDDED": str(int(embedded)),
        },
    )


def fetch() -> None:
    """Unpack the suite of the locked version, unless it is there."""
    pinned = PINNED.search((ROOT / "locks/all.txt").read_text())
    if pinned is None:
        raise SuiteError("locks/all.txt names no version of celery: make lock")
    stamp = BUILD / "pinned"
    if stamp.exists() and stamp.read_text() == pinned[0]:
        return
    shutil.rmtree(BUILD, ignore_errors=True)
    BUILD.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as downloads:
        wanted = Path(downloads) / "wanted.txt"
        wanted.write_text(pinned[0].rstrip().rstrip("\\"))
        command = ["download", "--quiet", "--no-deps", "--no-binary=celery", "--require-hashes"]
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", *command]
        if subprocess.call([*pip, "--requirement", str(wanted), "--dest", downloads]):
            raise SuiteError("pip can't fetch Celery's source: see above")
        (archive,) = Path(downloads).glob("celery-*.tar.gz")
        with tarfile.open(archive) as source:
            top = source.getnames()[0].split("/")[0]
            inside = [each for each in source.getmembers() if each.name.startswith(f"{top}/t/")]
            source.extractall(downloads, inside, filter="data")
        shutil.copytree(Path(downloads) / top / "t", BUILD / "t")
    for test in (BUILD / "t" / "integration").glob("test_*.py"):
        test.write_text(
            ONLY_ON_REDIS.sub("result_backend.startswith('celeriac')", test.read_text())
        )
    (BUILD / "t" / "integration" / "conftest.py").write_text(CONFTEST)
    (BUILD / "pytest.ini").write_text(SETTINGS)
    stamp.write_text(pinned[0])


@contextmanager
def redis() -> Iterator[int]:
    """A Redis for the tests to count in; its port."""
    program = shutil.which("redis-server")
    if program is None:
        raise SuiteError("The suite counts in Redis: install redis-server.")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as directory:
        server = subprocess.Popen(
            [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", directory],
            stdout=subprocess.DEVNULL,
        )
        try:
            yield port
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
