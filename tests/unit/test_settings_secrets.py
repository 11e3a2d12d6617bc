"""A secret among the settings is shown to nobody who doesn't ask for it."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from celeriac.settings import Settings

URL = "smtp://post:hunter2@mail.shop.net:2525"


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("CELERIAC_SMTP_URL", URL)
    return Settings()


def test_a_secret_is_not_shown(configured: Settings) -> None:
    """Printing, logging or dumping the settings hides the SMTP password."""
    shown = f"{configured} {configured!r} {configured.model_dump()} {configured.model_dump_json()}"

    assert "hunter2" not in shown


def test_a_secret_reaches_another_process_only_on_demand(
    configured: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A template shows its environment to every reader; a child process needs the secret."""
    assert "CELERIAC_SMTP_URL" not in configured.to_environment()

    for name, value in configured.to_environment(secrets=True).items():
        monkeypatch.setenv(name, value)
    assert Settings() == configured


def test_a_setting_that_is_not_set_has_no_variable() -> None:
    """None has no text, so the other process uses its own default."""
    assert "CELERIAC_SMTP_URL" not in Settings().to_environment(secrets=True)


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ("local", "http://post:hunter2@mail.shop.net"),
        ("local", "smtp://post:hunter2@"),
        ("local", "smtp://post:hunter2@mail.shop.net:99999"),
        ("local", "hunter2"),
        ("prod", URL),  # with mail_from still a placeholder
        ("prod", "smtp://post:hunter2@smtp.example.com"),
    ],
)
def test_no_error_about_settings_tells_a_secret(environment: str, url: str) -> None:
    """The error names the variable of a wrong value, and never repeats the value."""
    with pytest.raises(ValidationError) as failure:
        Settings(environment=environment, smtp_url=url)

    assert "smtp_url" in str(failure.value).lower() or "mail_from" in str(failure.value).lower()
    assert "hunter2" not in f"{failure.value} {failure.value!r}"


def test_a_placeholder_in_a_secret_is_refused_when_deployed() -> None:
    """A password from an example doesn't reach production."""
    with pytest.raises(ValidationError, match="CELERIAC_SMTP_URL"):
        Settings(
            environment="prod",
            mail_from="post@shop.net",
            smtp_url="smtp://post:changeme@mail.shop.net",
        )
