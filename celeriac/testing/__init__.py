"""Fakes for tests. Each implements the real interface, and the type checker holds it to that."""

from celeriac.testing.context import FakeContext, SavedArtifact
from celeriac.testing.records import MemoryRecords
from celeriac.testing.values import MemoryValues

__all__ = ["FakeContext", "MemoryRecords", "MemoryValues", "SavedArtifact"]
