"""A request that a reader can send to a project: one of its task types, and a payload for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from pydantic import BaseModel, ValidationError

from celeriac.contract import DEFAULT, catalogue

#: What stands for a text, by its JSON Schema format.
_TEXTS = {
    "email": "ada@example.com",
    "uri": "https://www.python.org",
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "duration": "PT1M",
    "uuid": "01890000-0000-7000-8000-000000000000",
}


def sample_request(module: ModuleType | None, attribute: str) -> tuple[str, str] | None:
    """The path and the payload, as JSON; None if no type's payload can be made up.

    Types of the default queue come first: the others often need a file or a mail server.

    Args:
        module: of the ASGI app whose paths count; None for the plain API.
        attribute: the app's name in it.
    """
    types = sorted(catalogue().values(), key=lambda each: (each.queue != DEFAULT, each.name))
    for each in types:
        payload = sample_payload(each.payload_model)
        if payload is not None:
            path = f"/tasks/{each.name}"
            prefix = _prefix(getattr(module, attribute, None), path) if module else ""
            return prefix + path, json.dumps(payload, ensure_ascii=False)
    return None


def sample_payload(model: type[BaseModel]) -> Any:
    """The model's first example, or a value for each field that must be given.

    None if the model refuses them.
    """
    schema = model.model_json_schema()
    examples = schema.get("examples") or []
    for candidate in [*examples, _value(schema, schema.get("$defs", {}))]:
        try:
            model.model_validate_json(json.dumps(candidate))
        except ValidationError:
            continue
        return candidate
    return None


def _value(schema: dict[str, Any], definitions: dict[str, Any]) -> Any:
    """A value for this JSON Schema: the smallest that looks right."""
    if "$ref" in schema:
        return _value(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return _value(choices[0], definitions)
    given = [*schema.get("examples", ()), *schema.get("enum", ())]
    given += [schema[key] for key in ("const", "default") if key in schema]
    if given:
        return given[0]
    if schema.get("type") == "object":
        fields = schema.get("properties", {})
        return {name: _value(fields[name], definitions) for name in schema.get("required", ())}
    if schema.get("type") == "array":
        count = schema.get("minItems", 0)
        return [_value(schema.get("items", {}), definitions) for _ in range(count)]
    return _scalar(schema)


def _scalar(schema: dict[str, Any]) -> Any:
    match schema.get("type"):
        case "integer" | "number":
            lowest = schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1)
            return min(lowest, schema.get("maximum", lowest))
        case "boolean":
            return True
        case "null":
            return None
        case _:
            text = _TEXTS.get(schema.get("format", ""), "hello")
            return text.ljust(schema.get("minLength", 0), "o")[: schema.get("maxLength")]


def _prefix(app: Any, path: str) -> str:
    """Under which path an app serves Celeriac's: a router may have a prefix, an app be mounted."""
    for found in _paths(app):
        if found.endswith(path):
            return found.removesuffix(path)
    return ""


def _paths(app: Any, before: str = "") -> Iterator[str]:
    """The paths that an app documents, those of mounted apps included."""
    if callable(openapi := getattr(app, "openapi", None)):
        yield from (before + path for path in openapi()["paths"])
    for route in getattr(app, "routes", ()):
        if inner := getattr(route, "app", None):
            yield from _paths(inner, before + route.path)
