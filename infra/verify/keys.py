"""The API keys of a run, made and revoked with the operator's command line."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from infra.verify.deployment import CommandError, Deployment

#: Whose tasks the checks' are: no other caller sees them, and they see no other's.
TENANT = "verify"


@dataclass(frozen=True)
class Key:
    """A key's id, by which it is revoked, and its secret."""

    id: str
    secret: str


def make_key(deployment: Deployment, *, scope: str) -> Key:
    """Create a key.

    Raises:
        CommandError: it could not be created, or isn't listed.
    """
    name = f"verify-{uuid.uuid4()}"
    secret = deployment.celeriac("keys", "create", name, "--tenant", TENANT, "--scope", scope)
    for line in deployment.celeriac("keys", "list").splitlines():
        id, listed, *_ = line.split("  ")
        if listed == name:
            return Key(id, secret)
    raise CommandError(f"The key {name} was created, and 'celeriac keys list' doesn't show it.")


def revoke(deployment: Deployment, key: Key) -> None:
    """Revoke a key.

    Raises:
        CommandError: it could not be revoked.
    """
    deployment.celeriac("keys", "revoke", key.id)
