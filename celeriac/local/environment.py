"""The variables that make a process use the AWS on this machine, and never the real one."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from celeriac.local.aws import HOST
from celeriac.settings import Settings

#: Where the variables of a running `celeriac dev` are, for a shell to source.
FILE = Path(".local/env")

REGION = "us-east-1"
ACCOUNT = "123456789012"  # moto's own


def settings_at(endpoint: str) -> Settings:
    """The settings of a local stack whose AWS is at this URL.

    ``CELERIAC_…`` variables of this process set the others, such as how long records are kept.
    """
    return Settings(
        environment="local", queue_url_prefix=f"{endpoint.rstrip('/')}/{ACCOUNT}/celeriac-"
    )


def aws_variables(endpoint: str) -> dict[str, str]:
    """boto3's variables for the AWS at this URL. The keys are dummies: moto checks none."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
    }


def variables(endpoint: str) -> dict[str, str]:
    """Everything that a process of the local stack needs: settings and AWS."""
    return settings_at(endpoint).to_environment() | aws_variables(endpoint)


def enter(own: Mapping[str, str]) -> None:
    """Set these variables for this process and its children, and remove all others of AWS.

    A profile, session token or service endpoint of the shell would lead to a real account. Requests
    to this machine bypass any proxy.
    """
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(own)
    for name in ("NO_PROXY", "no_proxy"):
        others = os.environ.get(name)
        os.environ[name] = f"{others},{HOST}" if others else HOST


def to_shell(own: Mapping[str, str]) -> str:
    """Lines that a shell can source: ``export NAME='value'``."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in own.items())


def read(path: Path) -> dict[str, str]:
    """The variables that ``to_shell`` wrote to this file.

    Raises:
        FileNotFoundError: no such file.
    """
    words = shlex.split(path.read_text())
    return dict(word.split("=", 1) for word in words if word != "export")
