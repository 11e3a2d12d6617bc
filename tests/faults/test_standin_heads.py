"""What the stand-in answers when only an object's head is asked for."""

from __future__ import annotations

from celeriac.storage.services import services
from tests.faults.stack import Stack


def test_a_head_has_the_size_and_type_of_its_object(stack: Stack) -> None:
    """As S3's: a mail's attachments are measured so before any is read."""
    artifacts = services().artifacts
    tenant = services().settings.tenant
    artifacts.put(tenant, "files/head/note.txt", b"A note.\n", content_type="text/plain")

    assert artifacts.head(tenant, "files/head/note.txt") == (8, "text/plain")
