"""What one worker is told by its environment; a deployment gives each fleet its own."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import click
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from celeriac.contract import Queue
from celeriac.contract.variables import PREFIX


class WorkerOptionError(click.UsageError):
    """A worker was asked for something that it can't do. The message names the fix."""


class WorkerOptions(BaseSettings):
    """``CELERIAC_QUEUES``, ``CELERIAC_CONCURRENCY`` and ``CELERIAC_HEALTH_FILE``."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    queues: str | None = Field(
        None, description="The queues that the worker consumes, with commas between; all if unset."
    )
    concurrency: int = Field(
        default_factory=lambda: os.cpu_count() or 1,
        ge=1,
        description="How many tasks the worker runs side by side; one for each core if unset.",
    )
    health_file: Path = Field(
        default_factory=lambda: Path(tempfile.gettempdir()) / "celeriac-worker-health.json",
        description="Where the worker writes, each second, what the health check reads.",
    )

    def queue_names(self, declared: Iterable[Queue]) -> list[str]:
        """The names of the queues to consume.

        Raises:
            WorkerOptionError: one of them isn't declared.
        """
        known = [queue.name for queue in declared]
        if self.queues is None:
            return known
        names = [name.strip() for name in self.queues.split(",")]
        unknown = sorted(set(names) - set(known))
        if unknown:
            raise WorkerOptionError(
                f"CELERIAC_QUEUES={self.queues!r}: there is no queue {unknown[0]!r}. "
                f"Name some of {', '.join(known)}, or declare it in tasks/queues.py."
            )
        return names
