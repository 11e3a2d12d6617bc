"""API keys: stored as hashes, each with a tenant and scopes."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any

from celeriac import clock
from celeriac.clock import Millis
from celeriac.contract.errors import Picklable
from celeriac.marshalling import marshal, unmarshal
from celeriac.settings import TENANT
from celeriac.topology import KEYS

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

#: What every key begins with, so that a scanner for leaked secrets can tell one.
MARK = "cel_"
#: For how long a secret that is no key's isn't looked up again.
UNKNOWN_FOR = timedelta(seconds=5)
#: How many such secrets are remembered.
MOST_UNKNOWN = 4096

_PARTITION = KEYS
_ID_LENGTH = 12


class Scope(StrEnum):
    """What a key may do. ``admin`` may do everything."""

    SUBMIT = "submit"
    READ = "read"
    CANCEL = "cancel"
    ADMIN = "admin"


@dataclass(frozen=True)
class ApiKey:
    """A key as it is stored: never the secret itself. ``id`` is how the hash begins."""

    id: str
    name: str
    tenant: str
    scopes: frozenset[Scope]
    created_at: Millis


class TenantNameError(Picklable, ValueError):
    """A tenant can't be called this."""

    def __init__(self, tenant: str) -> None:
        super().__init__(
            f"A tenant can't be called {tenant!r}. Use up to 63 lower-case letters, digits and "
            "dashes, such as 'acme-shop'."
        )
        self.tenant = tenant


class KeyNotFoundError(Picklable, LookupError):
    """There is no API key with this id."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"There is no API key {key_id!r}. 'keys list' shows the ids.")
        self.key_id = key_id


def generate() -> str:
    """A new secret: 256 random bits."""
    return MARK + secrets.token_urlsafe(32)


class Keys:
    """The API keys of a deployment.

    ``cached_for`` is how long a key once found is trusted without asking again, and so how long a
    revoked one may go on working. What is no key is refused without asking for ``UNKNOWN_FOR``, if
    that isn't longer: a caller that repeats a wrong key costs a read only now and then.
    """

    def __init__(
        self, client: DynamoDBClient, table: str, *, cached_for: timedelta = timedelta(0)
    ) -> None:
        self._client = client
        self._table = table
        self._cached_for = cached_for.total_seconds()
        self._cache: dict[str, tuple[float, ApiKey]] = {}
        self._unknown = _Unknown(min(cached_for, UNKNOWN_FOR), MOST_UNKNOWN)

    def register(self, secret: str, *, name: str, tenant: str, scopes: Iterable[Scope]) -> ApiKey:
        """Store a key's hash. Registering a key again replaces what it may do.

        Raises ``TenantNameError``.
        """
        if not re.fullmatch(TENANT, tenant):
            raise TenantNameError(tenant)
        digest = _digest(secret)
        key = ApiKey(digest[:_ID_LENGTH], name, tenant, frozenset(scopes), clock.now())
        self._client.put_item(
            TableName=self._table,
            Item=marshal(
                {
                    "pk": _PARTITION,
                    "sk": digest,
                    "name": key.name,
                    "tenant": key.tenant,
                    "scopes": sorted(key.scopes),
                    "created_at": key.created_at,
                }
            ),
        )
        self._cache.pop(digest, None)
        self._unknown.remove(digest)
        return key

    def find(self, secret: str) -> ApiKey | None:
        """The key of this secret, if there is one.

        SHA-256 without salt is enough: the secrets are random, so there is nothing to guess.
        """
        if not secret.startswith(MARK):
            return None
        digest = _digest(secret)
        found_at, key = self._cache.get(digest, (0.0, None))
        if key is not None and monotonic() - found_at < self._cached_for:
            return key
        if digest in self._unknown:
            return None
        answer = self._client.get_item(
            TableName=self._table,
            Key=marshal({"pk": _PARTITION, "sk": digest}),
            # A key that was made a moment ago must not be remembered as unknown.
            ConsistentRead=True,
        )
        if "Item" not in answer:
            self._cache.pop(digest, None)
            self._unknown.add(digest)
            return None
        key = _from_item(answer["Item"])
        self._cache[digest] = (monotonic(), key)
        return key

    def list(self) -> list[ApiKey]:
        """All keys, oldest first."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="pk = :keys",
            ExpressionAttributeValues=marshal({":keys": _PARTITION}),
            ConsistentRead=True,
        )
        found = [_from_item(item) for page in pages for item in page["Items"]]
        return sorted(found, key=lambda key: key.created_at)

    def revoke(self, key_id: str) -> ApiKey:
        """Remove a key. Raises ``KeyNotFoundError``."""
        if len(key_id) != _ID_LENGTH:
            raise KeyNotFoundError(key_id)
        answer = self._client.query(
            TableName=self._table,
            KeyConditionExpression="pk = :keys AND begins_with(sk, :id)",
            ExpressionAttributeValues=marshal({":keys": _PARTITION, ":id": key_id}),
            ConsistentRead=True,
        )
        if len(answer["Items"]) != 1:
            raise KeyNotFoundError(key_id)
        item = answer["Items"][0]
        self._client.delete_item(TableName=self._table, Key={"pk": item["pk"], "sk": item["sk"]})
        self._cache.clear()
        return _from_item(item)


class _Unknown:
    """Digests that no key has: the latest, for a while."""

    def __init__(self, kept_for: timedelta, most: int) -> None:
        self._kept_for = kept_for.total_seconds()
        self._most = most
        self._found_at: dict[str, float] = {}
        self._lock = Lock()

    def add(self, digest: str) -> None:
        with self._lock:
            self._found_at.pop(digest, None)
            if len(self._found_at) >= self._most:
                del self._found_at[next(iter(self._found_at))]
            self._found_at[digest] = monotonic()

    def remove(self, digest: str) -> None:
        with self._lock:
            self._found_at.pop(digest, None)

    def __contains__(self, digest: str) -> bool:
        found_at = self._found_at.get(digest)
        return found_at is not None and monotonic() - found_at < self._kept_for


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _from_item(item: Any) -> ApiKey:
    values = unmarshal(item)
    return ApiKey(
        id=values["sk"][:_ID_LENGTH],
        name=values["name"],
        tenant=values["tenant"],
        scopes=frozenset(Scope(scope) for scope in values["scopes"]),
        created_at=values["created_at"],
    )
