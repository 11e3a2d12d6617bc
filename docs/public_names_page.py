"""Writes ``docs/public-names.md`` from ``celeriac/__init__.py``: ``make docs``."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

from pydantic_settings import BaseSettings

import celeriac
import celeriac.schedules
import celeriac.testing

PAGE = Path(__file__).with_name("public-names.md")

INTRODUCTION = """\
# Public names

Made from `celeriac/__init__.py` by `make docs`: change the docstrings there.

SemVer counts for these names. Everything else may move. Import them from `celeriac`:

    from celeriac import BaseModel, TaskContext, task

"""

SCHEDULES = """\
## Schedules

Import the module: `from celeriac import schedules`.

"""

FOR_TESTS = """\
## For tests

Import these from `celeriac.testing`. Each implements the real interface.

"""


def page() -> str:
    """The whole page."""
    sections = [_section(celeriac, name) for name in celeriac.__all__]
    fakes = [_section(celeriac.testing, name) for name in celeriac.testing.__all__]
    of_schedules = [_section(celeriac.schedules, name) for name in celeriac.schedules.__all__]
    return (
        INTRODUCTION
        + "\n".join(sections)
        + "\n"
        + SCHEDULES
        + "\n".join(of_schedules)
        + "\n"
        + FOR_TESTS
        + "\n".join(fakes)
    )


def _section(module: Any, name: str) -> str:
    value = getattr(module, name)
    parts = [f"### `{name}`", _kind(value)]
    signature = _signature(name, value)
    if signature:
        parts.append(f"```text\n{signature}\n```")
    about = _about(value)
    if about:
        parts.append(about)
    return "\n\n".join(parts) + "\n"


def _kind(value: Any) -> str:
    if not inspect.isclass(value):
        return "Function."
    if issubclass(value, BaseException):
        return f"Exception, a kind of `{value.__mro__[1].__name__}`."
    return "Class."


def _signature(name: str, value: Any) -> str | None:
    """A call with one argument a line; none for what users don't call, and what isn't ours."""
    if not _is_ours(value) or getattr(value, "_is_protocol", False):
        return None
    if inspect.isclass(value) and issubclass(value, BaseException | BaseSettings):
        return None
    signature = inspect.signature(value)
    lines: list[str] = []
    for each in signature.parameters.values():
        if each.kind is each.KEYWORD_ONLY and "*" not in lines:
            lines.append("*")
        lines.append(_parameter(each))
    answer = ""
    if not inspect.isclass(value):
        answer = f" -> {_annotation(signature.return_annotation)}"
    arguments = "".join(f"\n    {line}," for line in lines)
    return f"{name}({arguments}\n){answer}" if arguments else f"{name}(){answer}"


def _parameter(parameter: inspect.Parameter) -> str:
    stars = {"VAR_POSITIONAL": "*", "VAR_KEYWORD": "**"}.get(parameter.kind.name, "")
    text = f"{stars}{parameter.name}: {_annotation(parameter.annotation)}"
    if parameter.default is parameter.empty:
        return text
    return f"{text} = {_default(parameter.default)}"


def _annotation(annotation: Any) -> str:
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return re.sub(r"\b(?:[a-z_]+\.)+(?=[A-Za-z_])", "", text)


def _default(default: Any) -> str:
    """As a user would write it."""
    if isinstance(default, celeriac.Queue):
        return f'Queue("{default.name}")'
    if isinstance(default, celeriac.Fleet):
        return "Fleet()"
    if isinstance(default, str):
        return f'"{default}"'
    text = repr(default).removeprefix("datetime.")
    return "…" if text.startswith("<") else text


def _is_ours(value: Any) -> bool:
    return bool(value.__module__.startswith("celeriac"))


def _about(value: Any) -> str:
    """The first paragraph of its docstring. Names in it are code."""
    if not _is_ours(value):
        return "It is pydantic's."
    paragraph = inspect.cleandoc(value.__doc__ or "").split("\n\n")[0]
    return paragraph.replace("``", "`")


if __name__ == "__main__":
    PAGE.write_text(page())
