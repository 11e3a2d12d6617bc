"""The Lambda's zip, built without Docker: locked wheels, the library and the project's packages.

uv fetches wheels for Lambda's Python and processor, whatever this machine's are; Lambda's Python
compiles them. Compiled files save two thirds of a cold start's imports, and are of the unchecked
kind, since a zip's time stamps say nothing:
docs.python.org/3/reference/import.html#pyc-invalidation
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import jsii
from aws_cdk import AssetHashType, BundlingOptions, DockerImage, ILocalBundling, aws_lambda

from celeriac.cdk.sources import Sources, digest

RUNTIME = aws_lambda.Runtime.PYTHON_3_13
PYTHON_VERSION = RUNTIME.name.removeprefix("python")

# Amazon Linux 2023 has glibc 2.34. uv takes this tag and every older one (manylinux2014 too), while
# the lock's exact versions keep it from settling for an older release.
PLATFORM = "aarch64-manylinux_2_28"

# botocore describes some four hundred AWS services. The zip keeps those that the function's role
# may call; a client of another fails with botocore's UnknownServiceError.
SERVICES = ("cloudwatch", "dynamodb", "ecs", "s3", "scheduler", "sqs")

UV = (sys.executable, "-m", "uv")

# Directories in wheels that no import reads.
_CLUTTER = ("**/__pycache__", "**/tests", "bin")


class BundlingError(RuntimeError):
    """The Lambda's zip can't be built on this machine. The message says what is missing."""


def function_code(sources: Sources) -> aws_lambda.Code:
    """The function's code as a CDK asset. A change in the lock or a source file rebuilds it.

    Raises:
        celeriac.cdk.sources.SourcesError: the project lacks a lock or a package.
    """
    return aws_lambda.Code.from_asset(
        str(sources.root),
        asset_hash=source_hash(sources),
        asset_hash_type=AssetHashType.CUSTOM,
        exclude=["*"],
        bundling=BundlingOptions(
            image=DockerImage.from_registry("unused: bundling is local"), local=_Local(sources)
        ),
    )


@jsii.implements(ILocalBundling)
class _Local:
    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def try_bundle(self, output_dir: str, *, image: DockerImage, **_: object) -> bool:
        build(self._sources, Path(output_dir))
        return True


def build(sources: Sources, target: Path) -> None:
    """Put everything the function needs into ``target``.

    Raises:
        BundlingError: uv or Lambda's Python is missing, or a wheel can't be had.
        celeriac.cdk.sources.SourcesError: the project lacks a lock or a package.
    """
    python = lambda_python()
    with tempfile.TemporaryDirectory() as directory:
        lock = Path(directory) / "requirements.txt"
        lock.write_text(sources.requirements("api"), "utf-8")
        _run(
            *UV, "pip", "install", "--quiet", "--no-deps", "--require-hashes",
            "--only-binary=:all:", "--python-version", PYTHON_VERSION,
            "--python-platform", PLATFORM, "--target", str(target), "--requirement", str(lock),
        )  # fmt: skip
    for pattern in _CLUTTER:
        for each in target.glob(pattern):
            shutil.rmtree(each)
    for service in (target / "botocore" / "data").iterdir():
        if service.is_dir() and service.name not in SERVICES:
            shutil.rmtree(service)
    sources.copy_for_function(target)
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
            f"The Lambda runs Python {PYTHON_VERSION}, which must also compile its code. Put "
            f"python{PYTHON_VERSION} on the PATH, or run: uv python install {PYTHON_VERSION}"
        ) from error


def source_hash(sources: Sources) -> str:
    """A digest of everything the zip is made of, and of how it is made."""
    with tempfile.TemporaryDirectory() as directory:
        sources.copy_for_function(Path(directory))
        return digest(
            Path(directory),
            RUNTIME.name,
            PLATFORM,
            sources.requirements("api"),
            Path(__file__).read_text("utf-8"),
        )


def _run(*command: str) -> str:
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
    except subprocess.CalledProcessError as error:
        raise BundlingError(f"{' '.join(command[:5])} … failed:\n{error.stderr}") from error
    return done.stdout
