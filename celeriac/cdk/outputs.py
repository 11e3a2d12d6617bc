"""The outputs of a deployment: each setting, and where its HTTP API answers."""

from __future__ import annotations

from typing import Any

from celeriac.contract.variables import PREFIX
from celeriac.settings import Settings

#: The output, and the variable, that hold the API's URL.
URL_OUTPUT, URL_VARIABLE = "ApiUrl", "API"


def output_id(variable: str) -> str:
    """``CELERIAC_TABLE_NAME`` is the output ``SettingTableName``."""
    return "Setting" + variable.removeprefix(PREFIX).title().replace("_", "")


def variables(cloudformation: Any, stack: str) -> dict[str, str]:
    """The variables that a stack's outputs hold.

    Outputs by which other stacks find resources are left out.

    Raises:
        botocore.exceptions.BotoCoreError: AWS can't be reached, or there are no credentials.
        botocore.exceptions.ClientError: AWS refused, or there is no such stack.
    """
    (described,) = cloudformation.describe_stacks(StackName=stack)["Stacks"]
    found = {each["OutputKey"]: each["OutputValue"] for each in described.get("Outputs", [])}
    names = [f"{PREFIX}{name}".upper() for name in Settings.model_fields]
    known = {output_id(name): name for name in names} | {URL_OUTPUT: URL_VARIABLE}
    return {known[key]: value for key, value in found.items() if key in known}
