"""Runs a worker as ``python -m worker`` does, with the tasks of the fault tests."""

from __future__ import annotations

import sys

from tests.faults import app  # noqa: F401 - registers the tasks
from worker.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
