"""What the OpenAPI document says about payloads."""

from __future__ import annotations

import pydantic
from fastapi import FastAPI
from pydantic import ConfigDict, TypeAdapter

from celeriac.http.unchecked import unchecked


class Inner(pydantic.BaseModel):
    a: int = 0


class Ignoring(pydantic.BaseModel):
    model_config = ConfigDict(extra="ignore")

    b: int = 0


class Taking(pydantic.BaseModel):
    model_config = ConfigDict(extra="allow")

    c: int = 0


class Outer(pydantic.BaseModel):
    inners: list[Inner] = pydantic.Field([])
    outer: Outer | None = None
    ignoring: Ignoring = Ignoring()
    taking: Taking = Taking()


def other_fields(schemas: dict[str, dict[str, object]]) -> dict[str, object]:
    return {name: schema.get("additionalProperties") for name, schema in schemas.items()}


def test_the_schema_of_a_plain_model_forbids_other_fields() -> None:
    """Plain models and those inside say ``additionalProperties: false``, unless they take more."""
    schema = TypeAdapter(unchecked(Outer)).json_schema()
    assert other_fields(schema["$defs"]) == {
        "Outer": False,
        "Inner": False,
        "Ignoring": None,
        "Taking": True,
    }


def test_fastapis_document_says_the_same() -> None:
    """An operation refers to the model by its name, as to any other."""
    app = FastAPI()

    @app.post("/")
    def operation(payload: unchecked(Outer)) -> None:  # type: ignore[valid-type]
        """Take a payload."""

    operation.__annotations__["payload"] = unchecked(Outer)
    document = app.openapi()
    body = document["paths"]["/"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["$ref"] == "#/components/schemas/Outer"
    found = other_fields(document["components"]["schemas"])
    assert (found["Outer"], found["Inner"]) == (False, False)
    assert (found["Ignoring"], found["Taking"]) == (None, True)
