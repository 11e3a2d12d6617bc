"""Lines of a log that all processes and threads of a worker write at once."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from select import PIPE_BUF

import pytest

from celeriac.app.logs import JsonFormatter

ROOT = Path(__file__).parents[2]

PROCESSES = 4
THREADS = 3
EACH = 200

WRITERS = f"""
import logging, os, threading
from celeriac.app import telemetry
from celeriac.app.logs import configure
from celeriac.records import TaskRecord

configure("INFO")
record = TaskRecord(
    task_id="t", type="process-file", tenant="acme", queue="files",
    created_at=1, expires_at=2, input="={{}}",
)

def write():
    for _ in range({EACH}):
        telemetry.submitted(record)
        logging.getLogger("writer").info("%s", "a long message " * 500)

children = [pid for pid in (os.fork() for _ in range({PROCESSES.bit_length() - 1})) if pid]
threads = [threading.Thread(target=write) for _ in range({THREADS})]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
for child in children:
    os.waitpid(child, 0)
"""


@pytest.mark.parametrize("unbuffered", ["1", ""], ids=["unbuffered", "buffered"])
def test_no_line_gets_into_another(unbuffered: str) -> None:
    """Metrics and long log lines of several processes and threads, on one pipe, stay whole."""
    environment = {
        **os.environ,
        "CELERIAC_ENVIRONMENT": "staging",
        "CELERIAC_MAIL_FROM": "null",
        "PYTHONUNBUFFERED": unbuffered,
    }

    done = subprocess.run(
        [sys.executable, "-c", WRITERS],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        check=True,
    )

    lines = [json.loads(line) for line in done.stdout.splitlines()]
    kinds = Counter("metric" if "_aws" in line else "log" for line in lines)
    assert kinds == {"metric": PROCESSES * THREADS * EACH, "log": PROCESSES * THREADS * EACH}


def logged(message: str, **values: object) -> str:
    record = logging.makeLogRecord({"name": "test", "msg": message, "levelname": "INFO", **values})
    return JsonFormatter().format(record)


def fail(depth: int) -> None:
    """Fail deep down, by functions that take turns: Python shortens what repeats itself."""
    if depth == 0:
        raise LookupError("the innermost")
    (fail if depth % 2 else fail_too)(depth - 1)


def fail_too(depth: int) -> None:
    fail(depth)


def test_a_long_message_loses_its_end() -> None:
    """The line fits into one write to a pipe, whatever has to be escaped, and begins as it did."""
    line = logged("é\n\x00" * 5_000)

    assert len(line) < PIPE_BUF
    message = json.loads(line)["message"]
    assert message.startswith("é\n\x00" * 100)
    assert message.endswith("...")


def test_a_long_traceback_keeps_what_went_wrong() -> None:
    """Its beginning is left out, and neither its last line nor the message."""
    try:
        fail(100)
    except LookupError:
        line = logged("It failed.", exc_info=sys.exc_info())

    assert len(line) < PIPE_BUF
    found = json.loads(line)
    assert found["message"] == "It failed."
    assert found["exception"].endswith("LookupError: the innermost")


def test_a_line_that_fits_is_left_alone() -> None:
    """Nothing is cut before it has to be."""
    assert json.loads(logged("x" * 3_500))["message"] == "x" * 3_500


def test_many_long_values_fit_too() -> None:
    """The longest are cut, one after the other."""
    line = logged("x" * 9_000, one="y" * 9_000, other=["z" * 9_000])

    assert len(line) < PIPE_BUF
    assert all(len(json.loads(line)[name]) > 500 for name in ("message", "one", "other"))
