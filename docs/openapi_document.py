"""Writes ``docs/openapi.json``, the API's OpenAPI document: ``make docs``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from celeriac.http.app import create_app
from docs.built_in import built_in_catalogue

PATH = Path(__file__).with_name("openapi.json")


def document() -> dict[str, Any]:
    """The document of an API with the built-in task types."""
    return create_app(catalogue=built_in_catalogue()).openapi()


def as_text(document: dict[str, Any]) -> str:
    """The document as the file holds it."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PATH.write_text(as_text(document()))
