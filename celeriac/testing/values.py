"""Values in memory: what a payload or a result is kept in, for tests."""

from __future__ import annotations

import uuid

from celeriac.storage.values import INLINE_LIMIT, LARGEST, ValueMissingError, ValueTooLargeError


class MemoryValues:
    """Implements ``ValueStore`` in memory, for tests."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}

    def put(
        self,
        tenant: str,
        task_id: str,
        name: str,
        text: str,
        expires_at: int,
        *,
        again: bool = False,
    ) -> str:
        size = len(text.encode())
        if size <= INLINE_LIMIT:
            return f"={text}"
        if size > LARGEST:
            raise ValueTooLargeError(size)
        unique = name if again else f"{name}-{uuid.uuid4().hex[:12]}"
        reference = f"item:{tenant}/{task_id}/{unique}/{expires_at}"
        self._texts[reference] = text
        return reference

    def get(self, tenant: str, task_id: str, reference: str) -> str:
        if reference.startswith("="):
            return reference[1:]
        if reference not in self._texts or f"item:{tenant}/{task_id}/" not in reference:
            raise ValueMissingError(reference)
        return self._texts[reference]

    def renew(self, tenant: str, task_id: str, reference: str, expires_at: int) -> None:
        """Nothing expires in memory."""
        self.get(tenant, task_id, reference)
