"""Every task type of the catalogue is served and documented; new files in ``tasks/`` included."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from celeriac.contract import TaskType, catalogue
from celeriac.http.app import create_app
from celeriac.http.routes.catalogue import TaskTypeView, view_of
from celeriac.storage.pauses import Paused

AnyTaskType = TaskType[Any, Any]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app().openapi()


@pytest.fixture(params=catalogue().values(), ids=lambda task_type: task_type.name)
def task_type(request: pytest.FixtureRequest) -> AnyTaskType:
    found: AnyTaskType = request.param
    return found


@pytest.fixture
def view(task_type: AnyTaskType) -> TaskTypeView:
    return view_of(task_type, Paused())


def resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found


def test_it_has_an_operation_of_its_own(document: dict[str, Any], task_type: AnyTaskType) -> None:
    """POST /tasks/<name> is documented with the type's words, payload and result."""
    operation = document["paths"][f"/tasks/{task_type.name}"]["post"]
    assert operation["summary"] == task_type.summary.rstrip(".")
    assert operation["description"] == task_type.description
    assert operation["security"] == [{"ApiKey": []}]
    payload = operation["requestBody"]["content"]["application/json"]["schema"]
    assert resolved(document, payload)["title"] == task_type.payload_model.__name__
    answer = operation["responses"]["202"]["content"]["application/json"]["schema"]
    result, nothing = resolved(document, answer)["properties"]["result"]["anyOf"]
    assert resolved(document, result)["title"] == task_type.result_model.__name__
    assert nothing == {"type": "null"}


def test_many_of_it_can_be_submitted_at_once(
    document: dict[str, Any], task_type: AnyTaskType
) -> None:
    """POST /tasks/<name>/batch takes items whose payload is the type's."""
    operation = document["paths"][f"/tasks/{task_type.name}/batch"]["post"]
    body = resolved(document, operation["requestBody"]["content"]["application/json"]["schema"])
    item = resolved(document, body["properties"]["items"]["items"])
    payload = resolved(document, item["properties"]["payload"])
    assert payload["title"] == task_type.payload_model.__name__


def test_its_payload_and_result_are_explained(view: TaskTypeView) -> None:
    """A reader of /docs finds a sentence on what goes in and what comes out."""
    assert view.payload_schema.get("description")
    assert view.result_schema.get("description")


def test_its_schemas_are_json_schemas(view: TaskTypeView) -> None:
    """What /catalogue gives can be fed to any JSON Schema library."""
    for schema in (view.payload_schema, view.result_schema):
        Draft202012Validator.check_schema(schema)


def test_its_aliases_are_not_advertised(document: dict[str, Any], task_type: AnyTaskType) -> None:
    """Names that a type had before are for old callers only."""
    assert not {f"/tasks/{alias}" for alias in task_type.aliases} & document["paths"].keys()
