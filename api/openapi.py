"""The API's OpenAPI document. ``python -m api.openapi`` writes it to ``docs/openapi.json``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from api.problems import ProblemDocument, WrongValue

VERSION = "1"
DESCRIPTION = """\
Submit a task, then follow it by its id. Send your API key as `Authorization: Bearer <key>`.

Every error is `application/problem+json` (RFC 9457); `GET /problems` lists the kinds.
"""

PATH = Path(__file__).parents[1] / "docs" / "openapi.json"


def install(app: FastAPI) -> None:
    """Add to the app's document what FastAPI doesn't know: what a problem looks like."""
    generate: Callable[[], dict[str, Any]] = app.openapi

    def document() -> dict[str, Any]:
        found = generate()
        found["components"]["schemas"] |= _problem_schemas()
        return found

    app.openapi = document  # type: ignore[method-assign] # FastAPI's documented way


def _problem_schemas() -> dict[str, Any]:
    _, schemas = models_json_schema(
        [(ProblemDocument, "validation"), (WrongValue, "validation")],
        ref_template="#/components/schemas/{model}",
    )
    definitions: dict[str, Any] = schemas["$defs"]
    definitions["Problem"] = definitions.pop("ProblemDocument")
    return definitions


def as_text(document: dict[str, Any]) -> str:
    """The document as the file holds it."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    from api.app import app

    PATH.write_text(as_text(app.openapi()))
