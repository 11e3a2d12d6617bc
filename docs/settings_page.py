"""Writes ``docs/settings.md`` from ``celeriac/settings.py``: ``python -m docs.settings_page``."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

import worker.__main__ as worker
from celeriac.settings import PREFIX, Settings

PAGE = Path(__file__).with_name("settings.md")

INTRODUCTION = """\
# Settings

Made from `celeriac/settings.py` by `python -m docs.settings_page`: change them there.

Settings are environment variables, read once by each process. A wrong value is refused, and so is
a placeholder (`example.com`, `changeme`, …) where `CELERIAC_ENVIRONMENT` is not `local`. Durations
are written as ISO 8601 has them: `PT90S`, `PT15M`, `P7D`; no value, where there may be none, as
`null`.

Region, credentials and endpoint are AWS's own variables (`AWS_REGION`, `AWS_ENDPOINT_URL`, …), read
by boto3.

| variable | default | takes | means |
|---|---|---|---|
"""

ONE_WORKER = """
## For one worker

Beside these, `python -m worker` reads, for itself alone:

"""

KINDS: dict[type, str] = {int: "whole number", timedelta: "duration", str: "text"}


def page() -> str:
    """The whole page."""
    rows = [_row(name, field) for name, field in Settings.model_fields.items()]
    own = [line for line in (worker.__doc__ or "").splitlines() if line.startswith(PREFIX)]
    return INTRODUCTION + "".join(rows) + ONE_WORKER + "".join(f"    {line}\n" for line in own)


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
    return TypeAdapter(type(value)).dump_json(value).decode().strip('"')


if __name__ == "__main__":
    PAGE.write_text(page())
