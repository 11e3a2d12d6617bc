"""API keys: stored as hashes, each with a tenant and scopes."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from celeriac.settings import Settings
from celeriac.storage import keys as keys_module
from celeriac.storage.keys import (
    ApiKey,
    KeyNotFoundError,
    Keys,
    Scope,
    TenantNameError,
    generate,
)
from celeriac.storage.services import services
from tests.unit.engine.meter import metered

CACHE = timedelta(seconds=60)


@pytest.fixture
def keys(aws: Settings) -> Keys:
    return Keys(services().dynamodb, aws.table_name)


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock of the cache, in seconds, to be set."""
    now = [1000.0]
    monkeypatch.setattr(keys_module, "monotonic", lambda: now[0])
    return now


def register(keys: Keys, **options: Any) -> tuple[str, ApiKey]:
    secret = generate()
    defaults: dict[str, Any] = {"name": "test", "tenant": "shop", "scopes": [Scope.READ]}
    return secret, keys.register(secret, **defaults | options)


def everything_stored(settings: Settings) -> str:
    pages = services().dynamodb.get_paginator("scan").paginate(TableName=settings.table_name)
    return json.dumps([page["Items"] for page in pages], default=str)


def test_a_secret_is_long_and_can_be_told() -> None:
    """256 random bits behind a mark that scanners for leaked secrets know."""
    made = {generate() for _ in range(100)}

    assert len(made) == 100
    assert all(secret.startswith("cel_") and len(secret) >= 4 + 43 for secret in made)


def test_a_key_is_found_by_its_secret(keys: Keys) -> None:
    """With the tenant, name and scopes it was registered with."""
    secret, key = register(keys, scopes=[Scope.SUBMIT, Scope.READ])

    assert keys.find(secret) == key
    assert (key.tenant, key.scopes) == ("shop", frozenset({Scope.SUBMIT, Scope.READ}))
    assert keys.find(secret + "x") is None
    assert keys.find("") is None


def test_the_secret_is_not_stored(keys: Keys, aws: Settings) -> None:
    """A reader of the table learns no key."""
    secret, key = register(keys)
    stored = everything_stored(aws)

    assert key.id in stored
    assert secret not in stored
    assert secret.removeprefix("cel_") not in stored
    assert secret not in repr(key)


def test_registering_again_replaces(keys: Keys) -> None:
    """The same secret is one key."""
    secret, _ = register(keys)
    again = keys.register(secret, name="other", tenant="shop", scopes=[Scope.ADMIN])

    assert keys.find(secret) == again
    assert [key.name for key in keys.list() if key.id == again.id] == ["other"]


@pytest.mark.parametrize("tenant", ["", "Shop", "a/tasks", "a#1", "-a", "a\n", "x" * 64, "ä"])
def test_a_tenant_has_a_plain_name(keys: Keys, tenant: str) -> None:
    """Its name begins keys of S3 and of the index: none may reach into another's."""
    with pytest.raises(TenantNameError, match="lower-case letters, digits and dashes"):
        register(keys, tenant=tenant)


def test_keys_are_listed_oldest_first(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    """However their hashes sort."""
    made = []
    for n in range(5):
        monkeypatch.setattr("celeriac.clock.now", lambda n=n: 1000 + n)
        made.append(register(keys)[1])

    assert [key for key in keys.list() if key in made] == made


def test_a_revoked_key_is_gone(keys: Keys) -> None:
    """At once, without a cache."""
    secret, key = register(keys)

    assert keys.revoke(key.id) == key
    assert keys.find(secret) is None
    with pytest.raises(KeyNotFoundError):
        keys.revoke(key.id)


@pytest.mark.parametrize("wrong", ["", "unknown", "0" * 12, "é" * 12, "\x00"])
def test_an_unknown_key_cannot_be_revoked(keys: Keys, wrong: str) -> None:
    """The error says where ids are shown."""
    with pytest.raises(KeyNotFoundError, match="'keys list' shows the ids"):
        keys.revoke(wrong)


@pytest.mark.parametrize("length", [1, 4, 11, 13, 64])
def test_part_of_an_id_revokes_nothing(keys: Keys, aws: Settings, length: int) -> None:
    """A slip of the hand must not end the one key that begins alike."""
    secret, _ = register(keys)
    digest = keys_module._digest(secret)

    with pytest.raises(KeyNotFoundError):
        keys.revoke(digest[:length])

    assert keys.find(secret) is not None


def test_a_found_key_is_trusted_for_a_while(aws: Settings, time: list[float]) -> None:
    """Within the cache's time no request asks DynamoDB; after it, the next one does."""
    cached = Keys(services().dynamodb, aws.table_name, cached_for=CACHE)
    secret, key = register(cached)

    with metered() as bill:
        cached.find(secret)
        time[0] += 59
        assert cached.find(secret) == key
        assert bill.requests["dynamodb:GetItem"] == 1
        time[0] += 2
        assert cached.find(secret) == key
        assert bill.requests["dynamodb:GetItem"] == 2


def test_a_wrong_key_is_asked_for_every_few_seconds(aws: Settings, time: list[float]) -> None:
    """However often it comes; another process's new key works after so long at most."""
    cached = Keys(services().dynamodb, aws.table_name, cached_for=CACHE)
    secret = generate()
    with metered() as bill:
        for _ in range(10):
            assert cached.find(secret) is None
        assert bill.requests == {"dynamodb:GetItem": 1}
    Keys(services().dynamodb, aws.table_name).register(
        secret, name="late", tenant="shop", scopes=[Scope.READ]
    )

    time[0] += keys_module.UNKNOWN_FOR.total_seconds()

    assert cached.find(secret) is not None


def test_a_key_made_by_this_process_works_at_once(aws: Settings, time: list[float]) -> None:
    """Even if it was wrong a moment ago."""
    cached = Keys(services().dynamodb, aws.table_name, cached_for=CACHE)
    secret = generate()
    assert cached.find(secret) is None

    cached.register(secret, name="late", tenant="shop", scopes=[Scope.READ])

    assert cached.find(secret) is not None


def test_guesses_fill_no_memory(aws: Settings, time: list[float], monkeypatch: Any) -> None:
    """Of wrong keys the latest are remembered, so many at most."""
    monkeypatch.setattr(keys_module, "MOST_UNKNOWN", 10)
    cached = Keys(services().dynamodb, aws.table_name, cached_for=CACHE)
    guesses = [generate() for _ in range(50)]
    for guess in guesses:
        cached.find(guess)
    assert len(cached._unknown._found_at) == 10
    assert len(cached._cache) == 0

    with metered() as bill:
        assert [cached.find(guess) for guess in guesses[-10:]] == [None] * 10
        assert bill.requests == {}


def test_without_a_cache_every_key_is_looked_up(keys: Keys) -> None:
    """Wrong ones too: the command line sees at once what another has made."""
    secret = generate()
    with metered() as bill:
        assert keys.find(secret) is None
        assert keys.find(secret) is None
        assert bill.requests == {"dynamodb:GetItem": 2}


def test_what_does_not_begin_as_keys_do_is_not_looked_up(keys: Keys) -> None:
    """A token, or another service's key."""
    with metered() as bill:
        assert keys.find("eyJhbGciOiJub25lIn0") is None
        assert bill.requests == {}


def test_a_revocation_is_seen_when_the_cache_has_passed(aws: Settings, time: list[float]) -> None:
    """Another process that has seen the key forgets it within the cache's time."""
    seen = Keys(services().dynamodb, aws.table_name, cached_for=CACHE)
    secret, key = register(seen)
    assert seen.find(secret) == key
    Keys(services().dynamodb, aws.table_name).revoke(key.id)

    time[0] += CACHE.total_seconds()

    assert seen.find(secret) is None
