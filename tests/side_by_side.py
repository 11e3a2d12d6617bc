"""Which tests run in one process, where tests run side by side.

Those of a file share an AWS. Fault tests share one for each process, and three processes share
them. ``make test`` runs them after all others: they measure time. One that compares times is run
alone after those; elsewhere it comes last.

The tests of the infrastructure share the templates, whose synthesis takes a minute: one process has
them all.

xdist has marks for this, which pytest 9.2 makes it overlook:
github.com/pytest-dev/pytest-xdist/issues/1386.
"""

from __future__ import annotations

import pytest
from xdist.scheduler import LoadScopeScheduling

#: The groups of fault tests, of about the same length.
FAULTS, LASTING, TURNS = "faults", "faults-lasting", "faults-turns"
INFRA, LAST = "infra", "faults-last"
#: It needs no template.
_COMPUTES = "test_scaling_simulation.py"
_FILES = {
    "test_signs.py": LASTING,
    "test_survival.py": LASTING,
    "test_fairness.py": LAST,
    "test_lanes_and_pauses.py": TURNS,
    "test_limits.py": TURNS,
    "test_rate_limit.py": TURNS,
    "test_repair.py": TURNS,
    "test_sameness.py": TURNS,
    "test_turns_over_http.py": TURNS,
}
#: What begins first.
_LARGE = ("tests/faults/", "tests/infra/", "tests/unit/test_lost_messages.py")


def group(nodeid: str) -> str:
    """The group of a test, as ``path::name[parameters]`` names it."""
    path, _, test = nodeid.partition("::")
    folder, _, file = path.rpartition("/")
    if path.startswith("tests/infra/") and file != _COMPUTES:
        return INFRA
    if folder != "tests/faults":
        return path
    # A test of several groups is parametrised by their names.
    for each in (LASTING, TURNS):
        if test.endswith(f"[{each}]"):
            return each
    return _FILES.get(file, FAULTS)


def largest_first(items: list[pytest.Item]) -> None:
    """Have the groups begin first that last longest: so all processes end at about one time."""

    def turn(item: pytest.Item) -> int:
        if group(item.nodeid) == LAST:
            return 2
        return 0 if item.nodeid.startswith(_LARGE) else 1

    items.sort(key=turn)


class GroupScheduling(LoadScopeScheduling):
    """Hands whole groups to the processes, in the order of collection."""

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)
