"""Empty a deployment's bucket, so that its stack can be deleted: ``python -m infra.teardown dev``.

CloudFormation deletes no bucket with objects in it. A function in the stack that empties it would
be one more thing that can delete everything, in an account where nobody is leaving.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import boto3

from infra.cdk.environments import environment

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef


class ProtectedError(RuntimeError):
    """The environment is kept from mistakes, and this would be one."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} is protected: its data outlives its stacks. To take it down, follow "
            "docs/deploying.md, 'Teardown'."
        )


def empty(name: str) -> int:
    """Delete every object of the deployment's bucket, and say how many there were.

    Raises:
        ProtectedError: the environment has ``protect``.
        LookupError: there is no such environment.
    """
    chosen = environment(name)
    if chosen.protect:
        raise ProtectedError(name)
    account = boto3.client("sts").get_caller_identity()["Account"]
    region = boto3.session.Session().region_name
    s3 = boto3.client("s3")
    bucket = f"{chosen.prefix}-{account}-{region}"
    deleted = 0
    try:
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            keys: list[ObjectIdentifierTypeDef] = [
                {"Key": each["Key"]} for each in page.get("Contents", [])
            ]
            if keys:
                s3.delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True})
                deleted += len(keys)
    except s3.exceptions.NoSuchBucket:
        return 0
    return deleted


def main() -> int:
    """The command line."""
    try:
        deleted = empty(sys.argv[1])
    except (IndexError, LookupError, ProtectedError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{deleted} objects deleted\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
