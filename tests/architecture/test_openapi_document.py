"""docs/openapi.json is valid OpenAPI 3.1, and is what the API serves."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from celeriac.http.app import create_app
from celeriac.http.problems import MEDIA_TYPE
from docs import openapi_document


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app().openapi()


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method.upper()} {path}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def test_the_document_in_docs_is_in_step() -> None:
    """It is what the API serves for the built-in task types."""
    text = openapi_document.as_text(openapi_document.document())

    assert openapi_document.PATH.read_text("utf-8") == text, "Generate it again: make docs"


def test_the_document_is_valid(document: dict[str, Any]) -> None:
    """Any OpenAPI 3.1 tool can read it."""
    assert document["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(document).validate()


def test_every_error_is_documented_as_a_problem(document: dict[str, Any]) -> None:
    """No operation documents an error of another shape, FastAPI's own included."""
    for name, operation in operations(document):
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                assert list(response["content"]) == [MEDIA_TYPE], f"{name} {status}"
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_every_operation_that_takes_a_key_says_what_happens_without(
    document: dict[str, Any],
) -> None:
    """Secured operations document 401, 403 and 503; the open ones need no key."""
    for name, operation in operations(document):
        if "security" in operation:
            assert {"401", "403", "503"} <= operation["responses"].keys(), name
        else:
            assert operation["tags"][0] in {"health", "problems"}, name


def test_every_operation_has_a_name_and_a_summary(document: dict[str, Any]) -> None:
    """Generated clients get one readable name for each operation."""
    ids = [operation["operationId"] for _, operation in operations(document)]
    assert len(set(ids)) == len(ids)
    assert all(id_ == id_.lower() and "__" not in id_ for id_ in ids)
    assert all(operation["summary"] for _, operation in operations(document))


def test_the_document_says_nothing_of_the_machine(document: dict[str, Any]) -> None:
    """It is the same wherever it is made."""
    assert str(openapi_document.PATH.parents[1]) not in json.dumps(document)
