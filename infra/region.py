"""The region of a command."""

from __future__ import annotations

import os

import boto3


class RegionMissingError(LookupError):
    """No region is chosen. The message says how to choose one."""

    def __init__(self) -> None:
        super().__init__("No AWS region is chosen: set AWS_REGION to the deployment's.")


def region() -> str:
    """The region that the CDK's command line takes; boto3 by itself doesn't read AWS_REGION.

    Raises:
        RegionMissingError: neither a variable nor AWS's configuration names one.
    """
    if chosen := os.environ.get("AWS_REGION") or boto3.session.Session().region_name:
        return chosen
    raise RegionMissingError
