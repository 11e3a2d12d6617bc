"""Read payloads: what callers give strictly, and what was accepted before leniently.

A caller's payload with a field that its model doesn't have is refused, since dropping it would run
another task than the caller meant. This holds for nested models and plain pydantic ones too. A
model whose config names ``extra`` has its way.

A wrong value in each of a million places must not make a million errors, which take gigabytes. So
a payload is read twice if it is wrong: first up to the first error of each list and mapping, then,
if it is small, in full.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from enum import Enum, auto
from functools import cache
from typing import Any, Generic, NoReturn, TypeVar, cast

from pydantic import BaseModel, ValidationError
from pydantic_core import CoreSchema, PydanticCustomError, SchemaValidator, core_schema

P = TypeVar("P", bound=BaseModel)

#: The type of the error about an unknown field. Its context has ``near``.
UNKNOWN_FIELD = "unknown_field"

#: A payload with more values than this shows only the first error of each list and mapping.
FEW = 2_000
#: An object with more unknown fields than this shows none of them.
MOST_UNKNOWN = 50

_CONTAINERS = frozenset({"dict", "frozenset", "list", "set", "tuple"})
_FIELDS = frozenset({"dataclass-args", "model-fields", "typed-dict"})
# What pydantic's schemas hold besides schemas.
_VALUES = frozenset({"cls", "config", "default", "expected", "metadata", "serialization"})


class _Reading(Enum):
    STRICT = auto()
    #: Strict, and ends a list, a mapping or an object at its first error.
    BRIEF = auto()
    LENIENT = auto()


class Payloads(Generic[P]):
    """Reads the payloads of one model."""

    def __init__(self, model: type[P]) -> None:
        self._model = model

    def read(self, given: BaseModel | Mapping[str, Any]) -> P:
        """A caller's payload. Raises pydantic's ``ValidationError``."""
        try:
            return self._validated(given, _Reading.BRIEF)
        except ValidationError:
            if not _has_few(given):
                raise
        return self._validated(given, _Reading.STRICT)

    def read_accepted(self, stored: Any) -> P:
        """A payload that was accepted before, perhaps under another version of the model.

        Leaves unknown fields out, which a deployment may have removed, or may be adding.
        Raises pydantic's ``ValidationError``.
        """
        return self._validated(stored, _Reading.LENIENT)

    def _validated(self, value: Any, reading: _Reading) -> P:
        validator = _validator(self._model, reading)
        # By name too: a stored payload has names for aliases.
        return cast("P", validator.validate_python(value, by_alias=True, by_name=True))


@cache
def _validator(model: type[BaseModel], reading: _Reading) -> SchemaValidator:
    """Made when it is first used: the API's cold start doesn't wait for it."""
    model.model_rebuild()
    schema = _changed(model.__pydantic_core_schema__, reading, {})
    # Otherwise pydantic takes each model's own validator, which knows nothing of the changes.
    return SchemaValidator(cast("CoreSchema", schema), _use_prebuilt=False)


def _changed(node: Any, reading: _Reading, config: Mapping[str, Any]) -> Any:
    """A copy of pydantic's schema for a reading. ``config`` is that of the model around it."""
    if isinstance(node, list | tuple):
        return type(node)(_changed(each, reading, config) for each in node)
    if not isinstance(node, dict):
        return node
    kind = node.get("type")
    if not isinstance(kind, str):
        # No schema, but schemas by name: a field may be called "type" or "default".
        return {name: _changed(each, reading, config) for name, each in node.items()}
    if kind == "model":
        config = node["cls"].model_config
    elif kind in {"dataclass", "typed-dict"}:
        config = getattr(node.get("cls"), "__pydantic_config__", {})
    changed = {
        name: each if name in _VALUES else _changed(each, reading, config)
        for name, each in node.items()
    }
    if reading is _Reading.BRIEF and kind in _CONTAINERS:
        changed["fail_fast"] = True
    if kind in _FIELDS and config.get("extra", "forbid") == "forbid":
        if reading is _Reading.LENIENT:
            changed["extra_behavior"] = "ignore"
        else:
            return _closed(changed, most=MOST_UNKNOWN if reading is _Reading.BRIEF else None)
    return changed


def _closed(node: dict[str, Any], most: int | None) -> CoreSchema:
    """The schema of an object's fields with an error for each other field, at most so many."""
    names = [*_names(node["fields"])]

    def unknown(name: object) -> NoReturn:
        near = difflib.get_close_matches(str(name)[:100], names, n=3)
        raise PydanticCustomError(UNKNOWN_FIELD, "{said}", {"said": _said(near), "near": near})

    def read(given: Any, handler: Any) -> Any:
        if most is not None and isinstance(given, dict) and len(given) > len(names) + most:
            raise PydanticCustomError(UNKNOWN_FIELD, "{said}", {"said": _TOO_MANY, "near": []})
        if node["type"] != "model-fields":
            return handler(given)
        values, _, given_fields = handler(given)
        # Unlike a model that takes more fields, this one keeps none.
        return values, None, given_fields

    if node["type"] == "model-fields":
        node["extra_behavior"] = "allow"
        node["extras_keys_schema"] = core_schema.no_info_plain_validator_function(unknown)
    else:
        node["extra_behavior"] = "forbid"
    return core_schema.no_info_wrap_validator_function(read, cast("CoreSchema", node))


_TOO_MANY = f"There are more than {MOST_UNKNOWN} unknown fields"


def _said(near: list[str]) -> str:
    meant = f". Did you mean {' or '.join(near)}?" if near else ""
    return f"There is no such field{meant}"


def _names(fields: Any) -> Iterator[str]:
    """The names that these fields can be given by."""
    # Those of a dataclass are a list.
    if not isinstance(fields, dict):
        fields = {each["name"]: each for each in fields}
    for name, field in fields.items():
        match field.get("validation_alias"):
            case str(alias):
                yield alias
            case [[*_], *_] as paths:
                yield from (str(path[0]) for path in paths)
            case [first, *_]:
                yield str(first)
            case _:
                yield name


def _has_few(value: Any) -> bool:
    """Whether a JSON value holds few values in all. Looks at no more than those."""
    seen = 0
    waiting = [value]
    while waiting:
        each = waiting.pop()
        inside = each.values() if isinstance(each, dict) else each
        if isinstance(inside, list) or isinstance(each, dict):
            seen += len(each)
            if seen > FEW:
                return False
            waiting.extend(inside)
    return True
