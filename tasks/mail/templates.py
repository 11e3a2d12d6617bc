"""Mail templates: each is a directory in ``tasks/templates/email``, rendered by Jinja.

``<name>/subject.txt``, ``<name>/body.txt`` and ``<name>/body.html``. Directories that begin with an
underscore hold the parts that templates share.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tasks.mail.names import DIRECTORY, templates


class TemplateFault(Exception):
    """A template can't be rendered with these variables. The message names the fault."""


class UnknownTemplateError(TemplateFault):
    """There is no template of this name."""

    def __init__(self, name: str) -> None:
        known = templates()
        near = difflib.get_close_matches(name, known, n=3) or known
        super().__init__(f"There is no mail template {name!r}. There is: {', '.join(near)}.")


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """A rendered template."""

    subject: str
    text: str
    html: str


def render(name: str, variables: Mapping[str, Any]) -> Rendered:
    """Render a template's subject, text and HTML.

    Raises:
        UnknownTemplateError: there is no such template.
        TemplateFault: a variable is missing, or of a type that the template can't use.
    """
    if name not in templates():
        raise UnknownTemplateError(name)
    try:
        subject, text, html = (
            _environment().get_template(f"{name}/{part}").render(variables)
            for part in ("subject.txt", "body.txt", "body.html")
        )
    except jinja2.UndefinedError as error:
        raise TemplateFault(f"Template {name!r} lacks a variable: {error.message}.") from error
    except (jinja2.TemplateRuntimeError, TypeError, ValueError) as error:
        raise TemplateFault(f"Template {name!r} can't use a variable: {error}.") from error
    return Rendered(subject=subject.strip(), text=text, html=html)


@cache
def _environment() -> jinja2.Environment:
    environment = ImmutableSandboxedEnvironment(
        loader=jinja2.FileSystemLoader(DIRECTORY),
        autoescape=jinja2.select_autoescape(("html",), default=False),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["web_link"] = _web_link
    return environment


def _web_link(url: object) -> str:
    """The URL, if it is of the web: escaping alone would allow ``javascript:`` links."""
    text = str(url)
    if urlsplit(text).scheme not in ("http", "https") or not urlsplit(text).netloc:
        raise ValueError(f"{text[:100]!r} is no http:// or https:// link")
    return text
