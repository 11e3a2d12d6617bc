"""All checks, in the order that they run in.

Those that need sleeping fleets come first. Those that wait for alarms, or for a fleet to sleep,
come last.
"""

from __future__ import annotations

from celeriac import Catalogue
from infra.verify.check import Check
from infra.verify.checks import (
    account,
    data,
    files,
    http,
    messages,
    schedules,
    tasks,
    turns,
    watching,
    workers,
)


def checks(types: Catalogue) -> tuple[Check, ...]:
    """The checks of a deployment of these task types."""
    return (
        *watching.BEFORE,
        *workers.BEFORE,
        *http.CHECKS,
        *tasks.type_checks(types),
        *tasks.CHECKS,
        *files.CHECKS,
        *data.CHECKS,
        *workers.CHECKS,
        *messages.CHECKS,
        *schedules.CHECKS,
        *turns.CHECKS,
        *watching.CHECKS,
        *account.CHECKS,
        *messages.LATE,
        *workers.AFTER,
    )
