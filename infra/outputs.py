"""What a deployment says of itself, as variables: each setting, and where its HTTP API answers.

``eval "$(python -m infra.outputs dev)"`` gives them to any shell.
"""

from __future__ import annotations

import shlex
import sys
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from celeriac.settings import PREFIX, Settings
from infra.cdk.environments import environment
from infra.region import region

#: The output, and the variable, that hold the API's URL.
URL_OUTPUT, URL_VARIABLE = "ApiUrl", "API"


def output_id(variable: str) -> str:
    """``CELERIAC_TABLE_NAME`` is the output ``SettingTableName``."""
    return "Setting" + variable.removeprefix(PREFIX).title().replace("_", "")


def variables(cloudformation: Any, prefix: str) -> dict[str, str]:
    """The variables of the deployment whose names begin with ``prefix``.

    Outputs by which other stacks find resources are left out.

    Raises:
        botocore.exceptions.BotoCoreError: AWS can't be reached, or there are no credentials.
        botocore.exceptions.ClientError: AWS refused, or there is no such deployment.
    """
    (stack,) = cloudformation.describe_stacks(StackName=f"{prefix}-api")["Stacks"]
    found = {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])}
    names = [f"{PREFIX}{name}".upper() for name in Settings.model_fields]
    known = {output_id(name): name for name in names} | {URL_OUTPUT: URL_VARIABLE}
    return {known[key]: value for key, value in found.items() if key in known}


def main(arguments: list[str]) -> int:
    """The command line."""
    if len(arguments) != 1:
        sys.stderr.write("Say an environment's name.\n")
        return 2
    try:
        prefix = environment(arguments[0]).prefix
        cloudformation = boto3.client("cloudformation", region_name=region())
        found = variables(cloudformation, prefix)
    except (LookupError, BotoCoreError, ClientError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for name, value in found.items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
