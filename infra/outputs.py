"""A deployment's outputs as variables: each setting, and the URL of its HTTP API.

``eval "$(python -m infra.outputs dev)"`` sets them in any shell.
"""

from __future__ import annotations

import shlex
import sys

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from celeriac.cdk import variables
from infra.cdk.environments import environment
from infra.region import region


def main(arguments: list[str]) -> int:
    """The command line."""
    if len(arguments) != 1:
        sys.stderr.write("Name an environment.\n")
        return 2
    try:
        prefix = environment(arguments[0]).prefix
        cloudformation = boto3.client("cloudformation", region_name=region())
        found = variables(cloudformation, f"{prefix}-api")
    except (LookupError, BotoCoreError, ClientError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for name, value in found.items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
