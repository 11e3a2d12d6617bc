"""The task types that this repository comes with, and that its pages describe.

A file that you add to ``tasks/`` needs no page: its models and docstrings are its documentation.
"""

from __future__ import annotations

from celeriac import Catalogue, catalogue

BUILT_IN = ("cleanup", "generate-report", "long-running", "process-file", "send-email")


def built_in_catalogue() -> Catalogue:
    """The built-in types alone, with all queues."""
    found = catalogue()
    return Catalogue([found[name] for name in BUILT_IN], found.queues)
