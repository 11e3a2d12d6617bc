"""Why SQS's own purge is refused."""

from __future__ import annotations

import click


class PurgeRefusedError(click.ClickException):
    """SQS would remove the messages, and leave records that say PENDING."""

    def __init__(self, queue: str) -> None:
        super().__init__(
            f"SQS would remove the messages of {queue!r} and leave their records waiting. "
            f"Run `celeriac queues purge {queue}`, which ends the tasks too."
        )
