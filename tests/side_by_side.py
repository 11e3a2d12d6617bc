"""Which tests run in one process, where tests run side by side.

Those of a file share an AWS. So do all fault tests of a process, which wait more than they compute:
two processes share them, and the files that take longest are ``LASTING``.

xdist has marks for this, which pytest 9.2 makes it overlook:
github.com/pytest-dev/pytest-xdist/issues/1386.
"""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

#: The two groups of fault tests.
FAULTS, LASTING = "faults", "faults-lasting"
_LASTING_FILES = ("/test_signs.py", "/test_survival.py")


def group(nodeid: str) -> str:
    """The group of a test, as ``path::name[parameters]`` names it."""
    file, _, test = nodeid.partition("::")
    if not file.startswith("tests/faults/"):
        return file
    # A test of both groups is parametrised by their names.
    lasting = file.endswith(_LASTING_FILES) or test.endswith(f"[{LASTING}]")
    return LASTING if lasting else FAULTS


class GroupScheduling(LoadScopeScheduling):
    """Hands whole groups to the processes, in the order of collection."""

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)
