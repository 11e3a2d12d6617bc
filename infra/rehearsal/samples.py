"""What the rehearsal submits: the examples that task types' models have, as /docs shows them.

    class Order(BaseModel):
        model_config = ConfigDict(json_schema_extra={"examples": [{"number": 17}]})

An example that names an uploaded file, as in ``uploads/0198c0de/sales.csv``, gets one of the files
here of that name.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any

from celeriac import Catalogue, TaskType

#: Puts a file where a task finds it (name, content type, content); its key.
Upload = Callable[[str, str, bytes], str]
AnyTaskType = TaskType[Any, Any]

# A grey JPEG of 16 by 8 pixels.
_PHOTO = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAFA3PEY8MlBGQUZaVVBfeMiCeG5uePWvuZHI//////////////////////"
    "//////////////////////////////wAALCAAIABABAREA/8QAFAABAAAAAAAAAAAAAAAAAAAAAP/EABQQAQAAAAAA"
    "AAAAAAAAAAAAAAD/2gAIAQEAAD8AD//Z"
)

_FILES: Mapping[str, tuple[str, bytes]] = {
    "sales.csv": (
        "text/csv",
        b"date,amount,product\n2026-01-05,30.5,tea\n2026-02-09,12,coffee\n",
    ),
    "photo.jpg": ("image/jpeg", _PHOTO),
    "note.txt": ("text/plain", b"A note.\n"),
}
_UPLOADS = ("uploads/", "files/")


def samples(types: Catalogue) -> dict[str, list[dict[str, Any]]]:
    """The examples of each task type, as far as every file that they name is here."""
    usable = {
        name: [each for each in _examples(task_type) if _files(each) <= _FILES.keys()]
        for name, task_type in types.items()
    }
    return {name: found for name, found in usable.items() if found}


def with_files(sample: Any, upload: Upload) -> Any:
    """A sample with the key of an uploaded file in place of each key that it names."""
    match sample:
        case dict():
            return {name: with_files(value, upload) for name, value in sample.items()}
        case list():
            return [with_files(value, upload) for value in sample]
        case str() if sample.startswith(_UPLOADS):
            name = PurePosixPath(sample).name
            return upload(name, *_FILES[name])
        case _:
            return sample


def _examples(task_type: AnyTaskType) -> list[Any]:
    extra = task_type.payload_model.model_config.get("json_schema_extra")
    return list(extra.get("examples", [])) if isinstance(extra, Mapping) else []


def _files(sample: Any) -> set[str]:
    """The names of the files that a sample names by their keys."""
    match sample:
        case dict() | list():
            values = sample.values() if isinstance(sample, dict) else sample
            return set().union(*map(_files, values))
        case str() if sample.startswith(_UPLOADS):
            return {PurePosixPath(sample).name}
        case _:
            return set()
