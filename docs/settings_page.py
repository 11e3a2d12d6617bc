"""Writes ``docs/settings.md`` from the settings' classes: ``make docs``."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from celeriac.contract.variables import PREFIX
from celeriac.settings import Settings
from celeriac.worker.options import WorkerOptions

PAGE = Path(__file__).with_name("settings.md")

INTRODUCTION = """\
# Settings

Made from `celeriac/settings.py` by `make docs`: change them there.

    CELERIAC_RECORD_TTL=P14D CELERIAC_MAIL_FROM=null celeriac worker

Settings are environment variables. Each process reads them once.

- Durations are ISO 8601: `PT90S`, `PT15M`, `P7D`. `null` means no value.
- A wrong value is refused. So is a placeholder (`example.com`, `changeme`, …) unless
  `CELERIAC_ENVIRONMENT` is `local`.
- Region, credentials and endpoint are AWS's own variables (`AWS_REGION`, `AWS_ENDPOINT_URL`, …).
- `CELERIAC_TASKS`, `CELERIAC_APP` and `CELERIAC_API` say where your task types and apps are, in
  place of `[tool.celeriac]` in `pyproject.toml`.

| variable | default | takes | means |
|---|---|---|---|
"""

ONE_WORKER = """
## For one worker

A worker also reads these, for itself alone:

| variable | means |
|---|---|
"""

KINDS: dict[type, str] = {
    bool: "`true` or `false`",
    int: "whole number",
    timedelta: "duration",
    str: "text",
}


def page() -> str:
    """The whole page."""
    rows = [_row(name, field) for name, field in Settings.model_fields.items()]
    own = [
        f"| `{PREFIX}{name.upper()}` | {field.description} |\n"
        for name, field in WorkerOptions.model_fields.items()
    ]
    return INTRODUCTION + "".join(rows) + ONE_WORKER + "".join(own)


def _row(name: str, field: FieldInfo) -> str:
    default = f"`{_text(field.default)}`"
    takes = ", ".join([_kind(field.annotation), *_bounds(field)])
    cells = (f"`{PREFIX}{name.upper()}`", default, takes, field.description or "")
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def _kind(annotation: Any) -> str:
    choices = get_args(annotation)
    if get_origin(annotation) is Literal:
        return f"one of {', '.join(f'`{choice}`' for choice in choices)}"
    if NoneType in choices:
        return _kind(next(choice for choice in choices if choice is not NoneType))
    return KINDS.get(annotation, "text")


def _bounds(field: FieldInfo) -> list[str]:
    words = {"gt": "more than", "ge": "at least", "le": "at most", "pattern": "matching"}
    return [
        f"{word} {bound if isinstance(bound, int) else f'`{_text(bound)}`'}"
        for name, word in words.items()
        for constraint in field.metadata
        if (bound := getattr(constraint, name, None)) is not None
    ]


def _text(value: object) -> str:
    """A value as its variable would hold it."""
    if isinstance(value, tuple):
        return ",".join(value)
    return TypeAdapter(type(value)).dump_json(value).decode().strip('"')


if __name__ == "__main__":
    PAGE.write_text(page())
