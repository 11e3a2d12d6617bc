"""Requests that schemathesis makes of the OpenAPI document, with keys of every kind."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import schemathesis.specs.openapi.checks as conformance
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.integration.api.conftest import Api

DOCUMENT = json.loads(Path("docs/openapi.json").read_text())
OPERATIONS = [
    (path, method)
    for path, operations in sorted(DOCUMENT["paths"].items())
    for method in sorted(operations)
]

MANY = settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    # One AWS for all examples: what one leaves behind is input to the next.
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)


@pytest.fixture(scope="module")
def document(app: FastAPI) -> Any:
    return schemathesis.openapi.from_asgi("/openapi.json", app)


def checks() -> list[Any]:
    checks = schemathesis.checks
    return [
        checks.not_a_server_error,
        conformance.status_code_conformance,
        conformance.content_type_conformance,
        conformance.response_schema_conformance,
        conformance.response_headers_conformance,
    ]


def ask(case: Any, caller: Api) -> Any:
    """One request of a caller, checked against the document."""
    # Never wait: that is another test's.
    case.query = {name: each for name, each in (case.query or {}).items() if name != "wait"}
    kept = {name: each for name, each in (case.headers or {}).items() if name.lower() != "prefer"}
    key = {"Authorization": f"Bearer {caller.key}"} if caller.key else {}
    case.headers = kept | key
    if not caller.key:
        case.headers.pop("Authorization", None)
    return case.call_and_validate(checks=checks())


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_no_request_breaks_the_api(
    document: Any, callers: Mapping[str, Api], path: str, method: str
) -> None:
    """Every answer is below 500, with a status, headers and a shape that the document has."""
    operation = document[path][method.upper()]
    modes = schemathesis.GenerationMode

    @MANY
    @given(
        operation.as_strategy(generation_mode=modes.POSITIVE)
        | operation.as_strategy(generation_mode=modes.NEGATIVE),
        st.sampled_from(sorted(callers)),
    )
    def go(case: Any, caller: str) -> None:
        ask(case, callers[caller])

    go()


@pytest.mark.parametrize("key", ["admin", "submit", "read", "cancel", "stranger"])
def test_no_order_of_requests_breaks_the_api(
    document: Any, callers: Mapping[str, Api], key: str
) -> None:
    """Requests that use what earlier ones answered with: the same holds of every answer."""
    caller = callers[key]

    class Workflow(document.as_state_machine()):  # type: ignore[misc]
        def call(self, case: Any, **options: Any) -> Any:
            return ask(case, caller)

        def validate_response(self, *args: Any, **options: Any) -> None:
            """Done by ``call``, with our checks alone."""

    Workflow.run(settings=settings(MANY, max_examples=8, stateful_step_count=6))
