"""An AWS service's refusal."""

from __future__ import annotations

from typing import Any


class AwsError(Exception):
    """Answered with this status, type and message; ``details`` go along."""

    def __init__(self, type: str, message: str, *, status: int = 400, **details: Any) -> None:
        super().__init__(message)
        self.type = type
        self.status = status
        self.details = details
