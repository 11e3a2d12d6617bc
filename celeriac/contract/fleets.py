"""The fleet of a queue: how many workers of which size, what they run, and what they may reach.

FILES = Queue(
    "files",
    fleet=Fleet(
        memory=4096,
        processes=2,
        apt=("ffmpeg",),
        environment={"INVOICES_BUCKET": "shop-invoices"},
        policy=[{"Action": "s3:PutObject", "Resource": "arn:aws:s3:::shop-invoices/*"}],
    ),
)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Literal

from celeriac.contract.places import short, whole
from celeriac.contract.variables import Policy, check_policy, check_secrets, check_variables

#: MiB that a worker needs: for its main process, and for each process that runs tasks. Measured
#: with the mails of ``send-email``: 8 processes take 551 MiB, 6 take 424, and 4 take 306.
MAIN_PROCESS = 128
EACH_PROCESS = 64

Architecture = Literal["arm64", "x86_64"]
_ARCHITECTURES = ("arm64", "x86_64")
#: GiB of disk. docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-task-storage.html
SMALLEST_STORAGE, LARGEST_STORAGE = 21, 200

_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]*(=[A-Za-z0-9.+:~-]+)?")
_EXTRA = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?")


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """The Fargate service that serves one queue.

    Size: ``cpu`` is in Fargate CPU units (1024 = one vCPU) and ``memory`` in MiB. AWS allows only
    certain pairs (docs.aws.amazon.com/AmazonECS/latest/developerguide/
    fargate-tasks-services.html). A worker runs ``processes`` tasks at a time. It needs 128 MiB, 64
    MiB for each process, and the memory of its tasks. If it takes more than ``memory``, the kernel
    kills it with all its tasks. ``ephemeral_storage`` is its disk in GiB, 21 to 200. The default is
    20.

    Number: ``min_workers`` run even if no task waits, and at most ``max_workers`` run. ``spot`` is
    the share of workers on FARGATE_SPOT after the first, 0 to 1. With 1, the first is on it too.
    AWS stops such a worker with two minutes' notice. The default is 0.7 if every task type of the
    queue ends within that notice, and 0 otherwise.

    Program: ``apt`` are Debian packages for its image. ``extras`` are extras of the project's
    ``pyproject.toml`` that its image has in addition to ``worker``, locked in
    ``locks/worker+EXTRA.txt``. ``dockerfile`` is a path in the project that replaces
    ``worker/Dockerfile``. ``image`` is the URI of an existing image, and none is built.
    ``architecture`` is that of its processors.

    Access: ``environment`` are variables for its tasks. ``secrets`` are variables that ECS reads
    when a worker starts. A value is the ARN of a secret in Secrets Manager (``…:FIELD::`` for one
    field), or the ARN or name of a parameter. ``policy`` is what its tasks may do: IAM statements
    as mappings, or a function that is called with the workers' role.

    Raises:
        TypeError: a value is of the wrong type.
        ValueError: a value is out of its bounds, or the memory is too small for the processes.
    """

    cpu: int = 512
    memory: int = 1024
    processes: int = 4
    ephemeral_storage: int | None = None
    min_workers: int = 0
    max_workers: int = 10
    spot: float | None = None
    apt: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    dockerfile: str | None = None
    image: str | None = None
    architecture: Architecture = "arm64"
    environment: Mapping[str, str] = field(default_factory=dict, hash=False)
    secrets: Mapping[str, str] = field(default_factory=dict, hash=False)
    policy: Policy = field(default=(), hash=False)

    def __post_init__(self) -> None:
        self._check_size()
        self._check_number()
        self._check_program()
        check_variables("Fleet", self.environment, self.secrets)
        check_secrets("Fleet", self.secrets)
        check_policy("Fleet", self.policy)

    def _check_size(self) -> None:
        for name in ("cpu", "memory", "processes", "max_workers"):
            if not whole(value := getattr(self, name)):
                raise ValueError(f"Fleet({name}={short(value)}): give a whole number, 1 or more.")
        if self.memory < (needed := MAIN_PROCESS + EACH_PROCESS * self.processes):
            raise ValueError(
                f"Fleet(processes={self.processes}, memory={self.memory}) needs {needed} MiB or "
                "more: raise memory, or lower processes. The kernel would kill its workers."
            )
        storage: Any = self.ephemeral_storage
        if storage is not None and not (
            whole(storage) and SMALLEST_STORAGE <= storage <= LARGEST_STORAGE
        ):
            raise ValueError(
                f"Fleet(ephemeral_storage={short(storage)}): give {SMALLEST_STORAGE} to "
                f"{LARGEST_STORAGE} GiB, or leave it out for 20."
            )

    def _check_number(self) -> None:
        fewest: Any = self.min_workers
        if fewest != 0 and not whole(fewest):
            raise ValueError(f"Fleet(min_workers={short(fewest)}): give a whole number, 0 or more.")
        if fewest > self.max_workers:
            raise ValueError(
                f"Fleet(min_workers={fewest}, max_workers={self.max_workers}): a fleet can't have "
                "more workers at least than at most. Raise max_workers, or lower min_workers."
            )
        spot: object = self.spot
        share = 0 if spot is None else spot
        if not isinstance(share, int | float) or not 0 <= share <= 1:
            raise ValueError(f"Fleet(spot={short(spot)}) is a share: give a number from 0 to 1.")

    def _check_program(self) -> None:
        if self.architecture not in _ARCHITECTURES:
            raise ValueError(
                f"Fleet(architecture={short(self.architecture)}): choose 'arm64' or 'x86_64'."
            )
        for name, pattern in (("apt", _PACKAGE), ("extras", _EXTRA)):
            values: Any = getattr(self, name)
            if not isinstance(values, tuple) or not all(
                isinstance(each, str) and pattern.fullmatch(each) for each in values
            ):
                raise ValueError(
                    f"Fleet({name}={short(values)}): give names in a tuple, such as "
                    f"{name}=('ffmpeg',)."
                )
        dockerfile: Any = self.dockerfile
        if dockerfile is not None and not _inside(dockerfile):
            raise ValueError(
                f"Fleet(dockerfile={short(dockerfile)}): give a path in the project, such as "
                "'worker/Film.Dockerfile'."
            )
        image: Any = self.image
        if image is not None and not (isinstance(image, str) and re.fullmatch(r"\S+", image)):
            raise ValueError(
                f"Fleet(image={short(image)}): give the URI of an image, such as "
                "'ghcr.io/shop/film:1.2'."
            )
        built = [name for name in ("apt", "extras", "dockerfile") if getattr(self, name)]
        if self.image and built:
            raise ValueError(
                f"Fleet(image=…, {built[0]}=…): an existing image isn't built. Leave out one."
            )


def _inside(path: object) -> bool:
    """Whether this is a relative path that doesn't leave its directory."""
    if not isinstance(path, str) or not path:
        return False
    parts = PurePosixPath(path)
    return not parts.is_absolute() and ".." not in parts.parts
