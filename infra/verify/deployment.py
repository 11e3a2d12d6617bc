"""A deployment as those see it who run it: its URL, its outputs, its resources in AWS."""

from __future__ import annotations

import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from celeriac.cdk import Environment
from infra.caller import Api

ROOT = Path(__file__).parents[2]
_COMMAND_SECONDS = 60


class CommandError(RuntimeError):
    """A command of the operator failed. The message is what it said."""


@dataclass(frozen=True, kw_only=True)
class Deployment(ABC):
    """One deployment. ``variables`` are its outputs, and the API's URL.

    ``command_variables`` are what a command's process gets: these, and what leads to AWS.
    ``client`` makes a client of boto3.
    """

    environment: Environment
    region: str
    variables: Mapping[str, str]
    command_variables: Mapping[str, str]
    api: Api
    client: Callable[[str], Any]

    @property
    @abstractmethod
    def on_moto(self) -> bool:
        """Whether it is a deployment to moto, which can't show everything."""

    @property
    @abstractmethod
    def outlasts_stop(self) -> timedelta:
        """A task that lasts so long doesn't end on a worker that is stopped while it runs."""

    @abstractmethod
    def stop_worker(self, queue: str, task_id: str) -> str:
        """Stop the worker of a queue that runs this task; which it was."""

    def setting(self, name: str) -> str:
        """A setting of the deployment, such as ``TABLE_NAME``."""
        return self.variables[f"CELERIAC_{name}"]

    def queue_url(self, name: str) -> str:
        """The URL of a queue in SQS."""
        return self.setting("QUEUE_URL_PREFIX") + name

    def resources(self, stack: str, type: str) -> list[Mapping[str, Any]]:
        """The properties that a stack's template has of one type of resource."""
        template = self.client("cloudformation").get_template(
            StackName=f"{self.environment.prefix}-{stack}"
        )["TemplateBody"]
        return [
            each["Properties"] for each in template["Resources"].values() if each["Type"] == type
        ]

    def celeriac(self, *arguments: str) -> str:
        """What a command of ``celeriac`` prints, run as the deployment's operator runs it.

        Raises:
            CommandError: it failed.
        """
        return self._run("-m", "celeriac", *arguments)

    def python(self, program: str) -> str:
        """What a Python program prints that uses the deployment.

        Raises:
            CommandError: it failed.
        """
        return self._run("-c", program)

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(  # noqa: S603  our own command
            [sys.executable, *arguments],
            cwd=ROOT,
            env=dict(self.command_variables),
            check=False,
            capture_output=True,
            text=True,
            timeout=_COMMAND_SECONDS,
        )
        if done.returncode:
            raise CommandError(f"{' '.join(arguments[:4])} failed: {done.stderr[-500:].strip()}")
        return done.stdout.strip()
