"""A payload for each built-in task type, as a caller would send it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

# Puts a file where a task finds it (name, content type, content), and gives its key.
Upload = Callable[[str, str, bytes], str]


class SampleMissingError(LookupError):
    """A task type has no sample payload here."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The task type {name!r} has no payload in infra/rehearsal/samples.py: add one."
        )


_SAMPLES: Mapping[str, Callable[[Upload], dict[str, Any]]] = {
    "cleanup": lambda _: {},
    "generate-report": lambda upload: {
        "user_id": "reader",
        "report_type": "sales",
        "file_key": upload(
            "sales.csv",
            "text/csv",
            b"date,amount,product\n2026-01-05,30.5,tea\n2026-02-09,12,coffee\n",
        ),
    },
    # Over 48 KiB, as its result: what goes by S3, and not in the message or the record.
    "long-running": lambda _: {"total_steps": 2, "step_seconds": 0.1, "items": ["x" * 1024] * 64},
    "process-file": lambda upload: {
        "file_key": upload("note.txt", "text/plain", b"A note.\n"),
        "operations": {"validate": True},
    },
    "send-email": lambda upload: {
        "email": "reader@celeriac.dev",
        "subject": "A rehearsal",
        "message": "All is well.",
        "attachments": [{"key": upload("note.txt", "text/plain", b"A note.\n")}],
    },
}


def payload(name: str, upload: Upload) -> dict[str, Any]:
    """What to submit to a task type.

    Raises:
        SampleMissingError: there is no sample for it.
    """
    if name not in _SAMPLES:
        raise SampleMissingError(name)
    return _SAMPLES[name](upload)
