"""The settings of a deployment: documented, passed on unchanged, refused if they are wrong."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from celeriac.contract.variables import PREFIX
from celeriac.settings import Settings, explain
from tasks.queues import FILES

REAL: dict[str, Any] = {"environment": "prod", "mail_from": "post@shop.net"}


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize("name", Settings.model_fields)
def test_each_setting_is_documented(name: str) -> None:
    """Its description is a sentence."""
    description = Settings.model_fields[name].description

    assert description
    assert description.endswith(".")


def read_back(settings: Settings) -> Settings:
    """The settings that another process reads from the variables."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.to_environment(secrets=True).items():
            patch.setenv(name, value)
        return Settings()


durations = st.timedeltas(timedelta(milliseconds=1), timedelta(days=1000))
texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=30).filter(
    lambda text: text != "null"
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "table_name": texts,
            "queue_url_prefix": texts,
            "cluster_name": st.none() | texts,
            "record_ttl": durations,
            "api_key_cache": durations,
            "visibility": st.timedeltas(timedelta(seconds=5), timedelta(hours=1)),
            "listing_shards": st.integers(1, 64),
            "max_request_bytes": st.integers(1, 10**9),
            "mail_from": st.none() | st.just("post@shop.net"),
            "log_level": st.sampled_from(["DEBUG", "ERROR"]),
        },
    )
)
def test_another_process_reads_the_same_settings(changed: dict[str, Any]) -> None:
    """``to_environment`` writes each value so that reading it returns the same, quotes included."""
    settings = Settings(**changed)

    assert read_back(settings) == settings


def test_each_variable_has_the_prefix() -> None:
    """No other variable of an environment is read as a setting."""
    assert all(name.startswith(PREFIX) and name.isupper() for name in Settings().to_environment())


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CELERIAC_RECORD_TTL", "PT0S"),
        ("CELERIAC_RECORD_TTL", "-P1D"),
        ("CELERIAC_RECORD_TTL", "a week"),
        ("CELERIAC_UPLOAD_TTL", "-P1D"),
        ("CELERIAC_API_KEY_CACHE", "-PT1S"),
        ("CELERIAC_VISIBILITY", "PT1S"),
        ("CELERIAC_VISIBILITY", "PT12H"),
        ("CELERIAC_LISTING_SHARDS", "0"),
        ("CELERIAC_MAX_REQUEST_BYTES", "0"),
        ("CELERIAC_TENANT", "Acme"),
        ("CELERIAC_TENANT", "acme/tasks"),
        ("CELERIAC_TENANT", "acme\n"),
        ("CELERIAC_MAIL_FROM", "post"),
        ("CELERIAC_LOG_LEVEL", "LOUD"),
    ],
)
def test_a_wrong_value_is_named_by_its_variable(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is one line, without the value, which may be a secret."""
    monkeypatch.setenv(variable, value)

    with pytest.raises(ValidationError) as refused:
        Settings()

    explanation = explain(refused.value)
    assert explanation.startswith(f"{variable}: ")
    assert "\n" not in explanation


def test_each_wrong_value_is_named() -> None:
    """One error names all of them."""
    with pytest.raises(ValidationError) as refused:
        Settings(tenant="A", listing_shards=0)

    assert "CELERIAC_TENANT: " in explain(refused.value)
    assert "CELERIAC_LISTING_SHARDS: " in explain(refused.value)


@pytest.mark.parametrize(
    "changed",
    [
        {"mail_from": "celeriac@example.com"},
        {"table_name": "changeme"},
        {"bucket_name": "my-PLACEHOLDER-bucket"},
        {"queue_url_prefix": "https://sqs.example.org/1/todo-"},
    ],
)
def test_a_deployment_refuses_placeholders(changed: dict[str, Any]) -> None:
    """A wrong deployment fails before its first message, and names the variables."""
    [name] = changed

    with pytest.raises(ValidationError) as refused:
        Settings(**REAL | changed)

    said = f"Placeholder values are left in {PREFIX}{name.upper()}. "
    assert explain(refused.value).startswith(said)


def test_a_local_process_takes_placeholders() -> None:
    """The defaults are for local use."""
    assert not Settings().deployed
    assert Settings(**REAL).deployed


def test_queues_have_urls() -> None:
    """The prefix, then the queue's name, then the suffix of a dead-letter queue."""
    settings = Settings(queue_url_prefix="https://sqs/1/prod-")

    assert settings.queue_url(FILES) == "https://sqs/1/prod-files"
    assert settings.dead_letter_url(FILES) == "https://sqs/1/prod-files-dead-letter"
