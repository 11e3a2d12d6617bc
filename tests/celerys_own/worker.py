"""A worker with the suite's tasks: ``python -m tests.celerys_own.worker``."""

from __future__ import annotations

import sys

from celeriac.app import celery_app
from tests.celerys_own.fixtures import set_up
from worker.__main__ import main

if __name__ == "__main__":
    set_up(celery_app())
    sys.exit(main())
