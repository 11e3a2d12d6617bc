"""Checking a payload takes time in proportion to its size, whatever its texts hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from time import thread_time
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from celeriac.contract import TaskType, catalogue
from celeriac.http.unchecked import unchecked
from celeriac.settings import Settings

Path = tuple[str | int, ...]

#: A text that is as long as a body may be takes no longer than this to check.
MOST_SECONDS = 1.0
TYPES = list(catalogue().values())

#: What makes a regular expression or a parser try again from each place of a text.
PATTERNS = {
    "letters": "a",
    "spaces": " ",
    "encoded words": "=?a",
    "addresses": "a@",
    "dots": "a.",
    "dashes": "a-",
    "quotes": '"\\',
    "brackets": "<(",
    "slashes": "/\\",
    "digits": "1",
    "zeros": "0.",
    "marks": "a\u0301",
    "wide": "\U0001f600",
    "colons": "1:",
    "percents": "%s{",
}


def text_fields(node: Any, definitions: Mapping[str, Any], depth: int = 0) -> Iterator[Path]:
    """The places of all texts in the values of a JSON Schema; the first of each list and map."""
    if not isinstance(node, dict) or depth > 6:
        return
    if "$ref" in node:
        node = definitions[node["$ref"].rpartition("/")[2]]
    for option in (*node.get("anyOf", ()), *node.get("oneOf", ()), *node.get("allOf", ())):
        yield from text_fields(option, definitions, depth + 1)
    if node.get("type") == "string" or not {"type", "anyOf", "oneOf", "allOf"} & node.keys():
        yield ()
    for name, each in node.get("properties", {}).items():
        yield from ((name, *rest) for rest in text_fields(each, definitions, depth + 1))
    yield from ((0, *rest) for rest in text_fields(node.get("items"), definitions, depth + 1))
    others = node.get("additionalProperties")
    yield from (("x", *rest) for rest in text_fields(others, definitions, depth + 1))


def with_text(base: Any, path: Path, text: str) -> Any:
    """A payload that has a text at a place, and else what it had."""
    if not path:
        return text
    first, *rest = path
    if first == 0:
        inside = base[0] if isinstance(base, list) and base else None
        return [with_text(inside, tuple(rest), text)]
    kept = base if isinstance(base, dict) else {}
    return {**kept, first: with_text(kept.get(str(first)), tuple(rest), text)}


def cases() -> Iterator[Any]:
    for task_type in TYPES:
        schema = TypeAdapter(unchecked(task_type.payload_model)).json_schema()
        for path in dict.fromkeys(text_fields(schema, schema.get("$defs", {}))):
            name = f"{task_type.name}-{'.'.join(map(str, path))}"
            yield pytest.param(task_type, path, id=name)


def seconds(task_type: TaskType[Any, Any], payload: Any) -> float:
    """How long the processor works on it, whatever else it does meanwhile."""
    start = thread_time()
    try:
        task_type.payloads.read(payload)
    except ValidationError as error:
        error.errors(include_url=False)
    return thread_time() - start


@pytest.mark.parametrize(("task_type", "path"), [*cases()])
def test_a_text_of_any_size_is_checked_in_time(task_type: TaskType[Any, Any], path: Path) -> None:
    """A text as large as a body takes no second, in each field of each type.

    A text of a tenth of that size comes first, so that a quadratic check fails within seconds.
    """
    largest = Settings.model_fields["max_request_bytes"].default
    examples = task_type.payload_model.model_config.get("json_schema_extra") or {}
    [base, *_] = examples.get("examples", [{}]) if isinstance(examples, dict) else [{}]
    for name, pattern in PATTERNS.items():
        for size in (largest // 100, largest // 10, largest):
            payload = with_text(base, path, pattern * (size // len(pattern.encode())))
            took = seconds(task_type, payload)
            assert took < MOST_SECONDS * size / largest + 0.2, (name, size, took)


def test_names_of_any_size_are_checked_in_time() -> None:
    """The names of unknown fields are compared with known ones only up to some length."""
    for task_type in TYPES:
        for pattern in PATTERNS.values():
            assert seconds(task_type, {pattern * 2**20: 1}) < MOST_SECONDS


@pytest.mark.parametrize("task_type", TYPES, ids=[each.name for each in TYPES])
def test_many_values_are_checked_in_time(task_type: TaskType[Any, Any]) -> None:
    """A payload with as many values as fit into a body makes few errors, in a second or two."""
    many = 700_000
    shapes: list[Any] = [[0] * many, {str(n): 0 for n in range(many // 5)}, [[]] * many, "x" * many]
    names = list(task_type.payload_model.model_fields)
    for name in names:
        for value in shapes:
            start = thread_time()
            with pytest.raises(ValidationError) as refused:
                task_type.payloads.read({name: value, "zz": 1})
            assert refused.value.error_count() <= 200, name
            assert thread_time() - start < 2 * MOST_SECONDS, name
