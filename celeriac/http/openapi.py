"""The API's OpenAPI document."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from celeriac.http.problems import MEDIA_TYPE, ProblemDocument, WrongValue

VERSION = "1"
DESCRIPTION = """\
Submit a task, then follow it by its id. Send your API key as `Authorization: Bearer <key>`.

Every error is `application/problem+json` (RFC 9457); `GET /problems` lists the kinds.
"""


def install(app: FastAPI) -> None:
    """Describe a problem once in the app's document, and refer to it from every response."""
    generate: Callable[[], dict[str, Any]] = app.openapi

    def document() -> dict[str, Any]:
        found = generate()
        found["components"]["schemas"] |= _problem_schemas()
        for path in found["paths"].values():
            for operation in path.values():
                _refer_to_problem(operation["responses"])
        return found

    app.openapi = document  # type: ignore[method-assign] # FastAPI's documented way


def _refer_to_problem(responses: dict[str, Any]) -> None:
    for response in responses.values():
        content = response.get("content", {}).get(MEDIA_TYPE)
        if content is not None and content["schema"].get("title") == "Problem":
            content["schema"] = {"$ref": "#/components/schemas/Problem"}


def _problem_schemas() -> dict[str, Any]:
    _, schemas = models_json_schema(
        [(ProblemDocument, "validation"), (WrongValue, "validation")],
        ref_template="#/components/schemas/{model}",
    )
    definitions: dict[str, Any] = schemas["$defs"]
    definitions["Problem"] = definitions.pop("ProblemDocument")
    return definitions
