"""Which web pages a deployment can name, and how the setting holds them."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from celeriac.origins import origin
from celeriac.settings import Settings, explain

VARIABLE = "CELERIAC_WEB_ORIGINS"


@pytest.mark.parametrize(
    "text",
    [
        "https://shop.net",
        "https://app.eu-1.shop.net:8443",
        "https://xn--bcher-kva.shop",
        "https://192.0.2.7",
        "http://localhost",
        "http://localhost:5173",
        "http://app.localhost:3000",
        "http://127.0.0.1:8000",
        "http://[::1]:8000",
        "https://[2001:db8::1]",
        "https://shop.net:65535",
    ],
)
def test_an_origin_is_taken_as_a_browser_sends_it(text: str) -> None:
    """HTTPS anywhere, and plain HTTP on the developer's own machine."""
    assert origin(text) == text


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "scheme://host"),
        ("shop.net", "scheme://host"),
        ("https://", "scheme://host"),
        ("https://shop.net/", "without a path"),
        ("https://shop.net/app", "without a path"),
        ("https://shop.net?x", "without a path"),
        ("https://Shop.net", "small letters"),
        ("HTTPS://shop.net", "small letters"),
        ("https://bücher.shop", "scheme://host"),
        ("https://*.shop.net", "scheme://host"),
        ("https://me@shop.net", "scheme://host"),
        ("https://shop.net\n", "scheme://host"),
        ("https://shop..net", "scheme://host"),
        ("https://shop.net:", "scheme://host"),
        ("https://shop.net:080", "scheme://host"),
        ("ftp://shop.net", "scheme://host"),
        ("https://shop.net:443", "Leave out :443"),
        ("http://localhost:80", "Leave out :80"),
        ("https://shop.net:65536", "at most 65535"),
        ("http://shop.net", "Use https"),
        ("http://localhost.shop.net", "Use https"),
        ("http://127.0.0.10", "Use https"),
        ("*", "Any page"),
        ("null", "Any page"),
    ],
)
def test_what_no_browser_sends_or_any_page_can_is_refused(text: str, fault: str) -> None:
    """It would match no page, or all of them. The message says what to write instead."""
    with pytest.raises(ValueError, match=fault):
        origin(text)


def test_a_variable_holds_origins_with_commas_between(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty one holds none, and another process reads what this one passes on."""
    both = ("https://app.shop.net", "http://localhost:5173")
    monkeypatch.setenv(VARIABLE, ",".join(both))
    assert Settings().web_origins == both
    assert Settings().to_environment()[VARIABLE] == ",".join(both)
    monkeypatch.setenv(VARIABLE, "")
    assert Settings().web_origins == ()
    assert Settings().to_environment()[VARIABLE] == ""


def test_a_wrong_origin_is_named_by_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what to write."""
    monkeypatch.setenv(VARIABLE, "https://app.shop.net,https://shop.net/")
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert explain(refused.value).startswith(f"{VARIABLE}: ")
    assert "without a path" in explain(refused.value)


def test_an_example_is_refused_in_a_deployment() -> None:
    """Somebody else may own that name."""
    with pytest.raises(ValidationError, match=f"Placeholder values are left in {VARIABLE}"):
        Settings(
            environment="prod", mail_from="post@shop.net", web_origins=("https://app.example.com",)
        )
