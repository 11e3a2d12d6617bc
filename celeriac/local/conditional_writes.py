"""A patch for moto 5.2.5 that makes conditional writes atomic.

moto's server answers each request in a thread. For a conditional write, moto reads the item, checks
the condition and writes, with no lock. Two threads can both find no item, and both create one:

    thread A   read: none ───────────────── write ✓
    thread B               read: none ✓ ─────────── write ✓

DynamoDB does all three in one step. With this patch moto takes DynamoDB's requests one at a time.
"""

from __future__ import annotations

import threading
from typing import Any

from moto.dynamodb.responses import DynamoHandler

_one_at_a_time = threading.RLock()
_call_action = DynamoHandler.call_action


def make_atomic() -> None:
    """Patch moto in this process."""
    DynamoHandler.call_action = _call_alone  # type: ignore[method-assign]


def _call_alone(handler: DynamoHandler) -> Any:
    with _one_at_a_time:
        return _call_action(handler)
