from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tasks.mail.names import DIRECTORY, templates
from tasks.mail.templates import TemplateFault, UnknownTemplateError, render

GOLDEN = Path(__file__).parent / "golden"

PREVIEWS: dict[str, dict[str, Any]] = {
    "notification": {
        "language": "ru",
        "heading": "Заказ № 1042 отправлен",
        "paragraphs": ["Здравствуйте, Анна!", "Ваш заказ прибудет 24 мая."],
        "action_label": "Следить за заказом",
        "action_url": "https://shop.net/orders/1042",
        "footer": "Вы получили это письмо после заказа.",
    },
    "report-ready": {
        "name": "Jane",
        "title": "Sales by region",
        "period": "April 2026",
        "figures": [
            {"label": "Revenue", "value": "€ 1,204,310"},
            {"label": "Orders", "value": "8,412"},
        ],
        "action_url": "https://shop.net/reports/1",
        "expires": "8 May 2026",
    },
    "welcome": {
        "name": "Zoë",
        "product": "Shop & Sons",
        "action_url": "https://shop.net/start?a=1&b=2",
    },
}


def test_every_template_has_a_preview() -> None:
    """A new template comes with variables to preview it and its golden text."""
    assert templates() == sorted(PREVIEWS)


@pytest.mark.parametrize("name", sorted(PREVIEWS))
def test_a_template_reads_as_it_was_approved(name: str) -> None:
    """Subject, text and HTML are, byte for byte, those that somebody looked at.

    After a wanted change, look at the HTML in a browser, then save it in ``golden/``.
    """
    rendered = render(name, PREVIEWS[name])

    text = f"Subject: {rendered.subject}\n\n{rendered.text}"
    assert text == (GOLDEN / f"{name}.txt").read_text("utf-8")
    assert rendered.html == (GOLDEN / f"{name}.html").read_text("utf-8")


@pytest.mark.parametrize("name", sorted(PREVIEWS))
@pytest.mark.parametrize("hostile", ["<script>alert(1)</script>", '"><img src=x onerror=y>'])
def test_no_variable_becomes_markup(name: str, hostile: str) -> None:
    """Whatever text a caller gives stands in the HTML escaped."""
    variables = {
        key: hostile if isinstance(value, str) and key != "action_url" else value
        for key, value in PREVIEWS[name].items()
    }

    html = render(name, variables).html

    assert "<script>" not in html
    assert "<img" not in html


@pytest.mark.parametrize("name", sorted(PREVIEWS))
@pytest.mark.parametrize("link", ["javascript:alert(1)", "data:text/html,x", "/here", "https:"])
def test_a_link_leads_to_the_web(name: str, link: str) -> None:
    """Escaping doesn't disarm a script in a link, so other schemes are refused."""
    with pytest.raises(TemplateFault, match="link"):
        render(name, PREVIEWS[name] | {"action_url": link})


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        (name, variable)
        for name, variables in PREVIEWS.items()
        for variable in variables
        if (name, variable)
        not in {
            ("notification", each) for each in ("language", "footer", "action_url", "action_label")
        }
    ],
)
def test_a_missing_variable_is_named(name: str, missing: str) -> None:
    """A variable that a template needs can't silently be empty."""
    variables = {key: value for key, value in PREVIEWS[name].items() if key != missing}

    with pytest.raises(TemplateFault, match=f"'{name}' lacks a variable: '{missing}'"):
        render(name, variables)


def test_optional_variables_may_be_left_out() -> None:
    """A notification needs a heading and text; one paragraph may be given as it is."""
    rendered = render("notification", {"heading": "Done", "paragraphs": "All of it."})

    assert rendered.text == "Done\n\nAll of it.\n\n"
    assert "All of it." in rendered.html


def test_an_unknown_template_is_answered_with_near_names() -> None:
    """The error for a misspelt name suggests the right one; shared parts aren't templates."""
    with pytest.raises(UnknownTemplateError, match="welcome"):
        render("welcom", {})
    with pytest.raises(UnknownTemplateError):
        render("_shared", {})


def test_the_sandbox_keeps_templates_from_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even a template that is edited carelessly can't reach Python's insides."""
    from tasks.mail.templates import _environment

    template = _environment().from_string("{{ ''.__class__.__mro__ }}")

    with pytest.raises(Exception, match="unsafe"):
        template.render()


def test_templates_lie_where_users_write_tasks() -> None:
    """Adding a template is adding a directory next to the tasks."""
    assert DIRECTORY.parts[-3:] == ("tasks", "templates", "email")
    assert all((DIRECTORY / name / "body.html").is_file() for name in templates())
