"""What ECS does before it starts a container: it reads the secrets that its definition names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: The parameter of the rehearsal, which the deployment names and doesn't make.
PARAMETER, VALUE = "/celeriac/rehearsal/token", "of the rehearsal"


def read_secrets(container: Mapping[str, Any], ssm: Any) -> dict[str, str]:
    """The variables of a container's secrets, read with the rights of ``ssm``'s caller.

    Only parameters are known here. docs.aws.amazon.com/AmazonECS/latest/developerguide/
    secrets-envvar-ssm-paramstore.html

    Raises:
        LookupError: there is no such parameter, so ECS wouldn't start the container.
    """
    names = {
        each["name"]: each["valueFrom"].partition(":parameter")[2]
        for each in container.get("secrets", [])
    }
    if not names:
        return {}
    found = ssm.get_parameters(Names=sorted(set(names.values())), WithDecryption=True)
    if found["InvalidParameters"]:
        raise LookupError(f"There is no parameter {found['InvalidParameters'][0]}.")
    values = {each["Name"]: each["Value"] for each in found["Parameters"]}
    return {variable: values[name] for variable, name in names.items()}
