"""A worker with the suite's tasks: ``python -m tests.celerys_own.worker``."""

from __future__ import annotations

import sys

from celeriac.worker.__main__ import main
from tests.celerys_own.fixtures import set_up
from worker.app import app

if __name__ == "__main__":
    set_up(app)
    sys.exit(main())
