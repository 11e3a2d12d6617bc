"""``Unchecked``: a payload as FastAPI describes it, and as ``submit`` checks it later.

FastAPI checks a body on the event loop. ``submit`` runs in a thread, so that a large payload lets
other requests go on, and it is stricter: see ``celeriac.contract.payloads``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema


def unchecked(model: type[BaseModel]) -> Any:
    """An annotation that takes any value, and has the JSON Schema of the payload."""
    return Annotated[model, Unchecked(model)]


class Unchecked:
    """The metadata of such an annotation: `Annotated[Model, Unchecked(Model), Body()]`."""

    def __init__(self, model: type[BaseModel]) -> None:
        self._model = model

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(lambda value, _: value, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        found = handler(schema)
        self._model.model_rebuild()
        _close(found, handler, set(_ignoring(self._model.__pydantic_core_schema__)), set())
        return found


def _close(node: Any, handler: GetJsonSchemaHandler, ignoring: set[str], seen: set[str]) -> None:
    """Say of each object that it takes no other fields, unless its model ignores those."""
    if isinstance(node, list):
        for each in node:
            _close(each, handler, ignoring, seen)
    if not isinstance(node, dict):
        return
    if isinstance(reference := node.get("$ref"), str) and reference not in seen:
        seen.add(reference)
        _close(handler.resolve_ref_schema({"$ref": reference}), handler, ignoring, seen)
    if isinstance(node.get("properties"), dict) and node.get("title") not in ignoring:
        node.setdefault("additionalProperties", False)
    for name, each in node.items():
        if name not in {"default", "const", "enum", "examples"}:
            _close(each, handler, ignoring, seen)


def _ignoring(node: Any) -> Iterator[str]:
    """The titles of the models in a schema that ignore other fields."""
    if isinstance(node, list | tuple):
        for each in node:
            yield from _ignoring(each)
    if isinstance(node, dict):
        config = node.get("config")
        if isinstance(config, dict) and config.get("extra_fields_behavior") == "ignore":
            yield config.get("title", "")
        for each in node.values():
            yield from _ignoring(each)
