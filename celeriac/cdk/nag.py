"""Accepting findings of cdk-nag or of CDK itself, each with its reason."""

from __future__ import annotations

from aws_cdk import Acknowledgment, Validations
from constructs import IConstruct


def accept(on: IConstruct, rule: str, reason: str) -> None:
    """Accept a finding on a construct and what is inside it. ``reason`` says why it is right."""
    Validations.of(on).acknowledge(Acknowledgment(id=rule, reason=reason))
