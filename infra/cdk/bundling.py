"""The Lambda's zip, built without Docker: the ``api`` extra's locked wheels and our own packages.

uv fetches wheels for Lambda's Python and processor, whatever this machine's are; Lambda's Python
compiles them. Compiled files save two thirds of a cold start's imports, and are of the unchecked
kind, since a zip's time stamps say nothing:
docs.python.org/3/reference/import.html#pyc-invalidation
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jsii
from aws_cdk import AssetHashType, BundlingOptions, DockerImage, ILocalBundling, aws_lambda

ROOT = Path(__file__).parents[2]

RUNTIME = aws_lambda.Runtime.PYTHON_3_13
PYTHON_VERSION = RUNTIME.name.removeprefix("python")

# What the function is made of. The console's pages are served by it where they exist.
PACKAGES = ("api", "celeriac", "console", "tasks")
LOCK = "locks/api.txt"

# Amazon Linux 2023 has glibc 2.34. uv takes this tag and every older one (manylinux2014 too), while
# the lock's exact versions keep it from settling for an older release.
PLATFORM = "aarch64-manylinux_2_28"

# The AWS services whose descriptions are shipped, of botocore's some four hundred: those that the
# function's role may call. A client of another fails with botocore's UnknownServiceError.
SERVICES = ("cloudwatch", "dynamodb", "ecs", "s3", "scheduler", "sqs")

UV = (sys.executable, "-m", "uv")

# What wheels carry and no import reads.
_CLUTTER = ("**/__pycache__", "**/tests", "bin")


class BundlingError(RuntimeError):
    """The Lambda's zip can't be built on this machine. The message says what is missing."""


def api_code() -> aws_lambda.Code:
    """The function's code as a CDK asset, rebuilt when the lock or a source file changes."""
    return aws_lambda.Code.from_asset(
        str(ROOT),
        asset_hash=source_hash(),
        asset_hash_type=AssetHashType.CUSTOM,
        exclude=["*"],
        bundling=BundlingOptions(
            image=DockerImage.from_registry("unused: bundling is local"), local=_Local()
        ),
    )


@jsii.implements(ILocalBundling)
class _Local:
    def try_bundle(self, output_dir: str, *, image: DockerImage, **_: object) -> bool:
        build(Path(output_dir))
        return True


def build(target: Path) -> None:
    """Put everything the function needs into ``target``.

    Raises:
        BundlingError: uv or Lambda's Python is missing, or a wheel can't be had.
    """
    python = lambda_python()
    _run(
        *UV, "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:",
        "--python-version", PYTHON_VERSION, "--python-platform", PLATFORM,
        "--target", str(target), "--requirement", str(ROOT / LOCK),
    )  # fmt: skip
    for package in PACKAGES:
        if (ROOT / package).is_dir():
            shutil.copytree(
                ROOT / package, target / package, ignore=shutil.ignore_patterns("__pycache__")
            )
    for pattern in _CLUTTER:
        for each in target.glob(pattern):
            shutil.rmtree(each)
    for service in (target / "botocore" / "data").iterdir():
        if service.is_dir() and service.name not in SERVICES:
            shutil.rmtree(service)
    # -s: tracebacks name the file as Lambda sees it, not where this machine built it.
    _run(
        python, "-m", "compileall", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash",
        "-s", str(target), "-p", "/var/task", str(target),
    )  # fmt: skip


def lambda_python() -> str:
    """The path of an interpreter of Lambda's Python version: uv's choice, or one of pyenv's.

    Raises:
        BundlingError: there is none; the message says how to get one.
    """
    try:
        return _run(*UV, "python", "find", "--no-project", PYTHON_VERSION).strip()
    except BundlingError as error:
        # pyenv keeps what it has installed off the PATH until it is chosen.
        pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
        for found in sorted(pyenv.glob(f"{PYTHON_VERSION}.*/bin/python{PYTHON_VERSION}")):
            return str(found)
        raise BundlingError(
            f"The Lambda runs Python {PYTHON_VERSION}, and its code must be compiled with it. "
            f"Put python{PYTHON_VERSION} on the PATH, or run: uv python install {PYTHON_VERSION}"
        ) from error


def source_hash() -> str:
    """A digest of everything the zip is made of."""
    digest = hashlib.sha256(f"{RUNTIME.name} {PLATFORM}".encode())
    files = [ROOT / LOCK, Path(__file__)]
    for package in PACKAGES:
        files += [
            path
            for path in sorted((ROOT / package).rglob("*"))
            if path.is_file() and "__pycache__" not in path.parts
        ]
    for path in files:
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _run(*command: str) -> str:
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
    except subprocess.CalledProcessError as error:
        raise BundlingError(f"{' '.join(command[:5])} … failed:\n{error.stderr}") from error
    return done.stdout
