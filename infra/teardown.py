"""The steps of ``make destroy`` besides deleting stacks: ask first, and empty the bucket.

``python -m infra.teardown confirm dev``, then ``empty dev`` when its workers and its API are gone:
CloudFormation deletes no bucket with objects in it. A function in the stack could empty it, but
could then also delete everything in a deployment that stays.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import boto3

from celeriac.cdk import Environment
from infra.cdk.environments import environment
from infra.region import region

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef


class TeardownError(RuntimeError):
    """Nothing more may be deleted. The message says why, and what to do."""


def confirm(name: str) -> None:
    """Ask for the deployment's name, to be typed.

    Raises:
        TeardownError: the environment has ``protect``, or another word was typed.
        LookupError: there is no such environment, or no region is chosen.
    """
    prefix = _unprotected(name).prefix
    sys.stdout.write(
        f"This deletes {prefix} in {region()}: every task, file and message of it.\n"
        f"Type its name, {name}, to continue: "
    )
    sys.stdout.flush()
    if sys.stdin.readline().strip() != name:
        raise TeardownError("Nothing was deleted.")


def empty(name: str) -> int:
    """Delete every object of the deployment's bucket, and say how many there were.

    A bucket that is gone already had none.

    Raises:
        TeardownError: the environment has ``protect``, or S3 kept an object.
        LookupError: there is no such environment, or no region is chosen.
    """
    prefix = _unprotected(name).prefix
    here = region()
    account = boto3.client("sts", region_name=here).get_caller_identity()["Account"]
    s3 = boto3.client("s3", region_name=here)
    bucket = f"{prefix}-{account}-{here}"
    deleted = 0
    try:
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            keys: list[ObjectIdentifierTypeDef] = [
                {"Key": each["Key"]} for each in page.get("Contents", [])
            ]
            if keys:
                answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True})
                if kept := answer.get("Errors"):
                    raise TeardownError(f"S3 deleted {len(kept)} objects less: {kept[0]}")
                deleted += len(keys)
    except s3.exceptions.NoSuchBucket:
        return 0
    return deleted


def _unprotected(name: str) -> Environment:
    chosen = environment(name)
    if chosen.protect:
        raise TeardownError(
            f"{name} is protected: its data outlives its stacks. To take it down, follow "
            "docs/deploying.md, 'Teardown'."
        )
    return chosen


def main(arguments: list[str]) -> int:
    """The command line."""
    try:
        match arguments:
            case ["confirm", name]:
                confirm(name)
            case ["empty", name]:
                sys.stdout.write(f"{empty(name)} objects deleted\n")
            case _:
                sys.stderr.write("Give confirm or empty, and an environment's name.\n")
                return 2
    except (LookupError, TeardownError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
