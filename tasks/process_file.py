"""``process-file``: inspect, compress and convert an uploaded file, and make thumbnails."""

from datetime import timedelta
from pathlib import PurePosixPath

from pydantic import AliasChoices, ConfigDict

from celeriac import Artifact, BaseModel, Field, Retry, TaskContext, task
from tasks.files import limits
from tasks.files.families import open_source
from tasks.files.metadata import FileMetadata
from tasks.files.operations import (
    Compress,
    Convert,
    ExtractMetadata,
    Operation,
    Operations,
    Thumbnail,
    Validate,
)
from tasks.files.source import Output, Source
from tasks.queues import FILES
from tasks.shared.encodings import Encoding
from tasks.shared.faults import Fault
from tasks.shared.guard import ceiling, in_time


class ProcessFile(BaseModel):
    """A file, and any operations on it together. They run in one pass."""

    model_config = ConfigDict(
        extra="forbid",
        validate_by_name=True,
        json_schema_extra={
            "examples": [
                {
                    "file_key": "uploads/0198c0de/sales.csv",
                    "operations": {
                        "validate": True,
                        "extract_metadata": True,
                        "convert": {"format": "parquet"},
                    },
                },
                {
                    "file_key": "uploads/0198c0de/photo.jpg",
                    "operations": {"validate": True, "thumbnail": {"max_side": 256}},
                },
            ]
        },
    )

    file_key: str = Field(
        min_length=1,
        max_length=1024,
        validation_alias=AliasChoices("file_key", "file_path"),
        examples=["uploads/0198c0de/photo.jpg"],
        description="The key of an upload or an artifact. `file_path` is read too.",
    )
    encoding: Encoding | None = Field(
        default=None,
        examples=["cp1251"],
        description="Of text, CSV and JSON lines, by Python's name. Recognised if absent.",
    )
    operations: Operations = Field(
        default_factory=lambda: Operations(check=True, extract_metadata=True),
        examples=[{"validate": True, "extract_metadata": True, "thumbnail": {"max_side": 256}}],
        description="Absent: `validate` and `extract_metadata`.",
    )


class MadeFile(Artifact):
    """An output. ``saved`` is the share of the source's bytes saved, negative if it is larger."""

    operation: str
    saved: float


class ProcessedFile(BaseModel):
    """The findings and the outputs. ``content_type`` and ``size`` (bytes) are the source's own."""

    content_type: str
    size: int
    validated: bool = Field(
        description="True if validation was requested: an invalid file fails the task."
    )
    metadata: FileMetadata | None
    artifacts: list[MadeFile]


@task(
    queue=FILES,
    time_limit=limits.TIME_LIMIT,
    retry=Retry(attempts=3, first_delay=timedelta(seconds=5)),
)
def process_file(payload: ProcessFile, context: TaskContext) -> ProcessedFile:
    """Validate, inspect, compress, convert or thumbnail an uploaded file.

    Images, PDFs, tables (CSV, JSON lines, Parquet), XLSX workbooks, archives and text. Outputs
    are artifacts; a bad file fails with a stable error type, listed in
    ``docs/tasks/process-file.md``.
    """
    requested = payload.operations.requested()
    if not requested:
        raise Fault.NO_OPERATION.error()
    path = context.read_artifact(payload.file_key)
    metadata: FileMetadata | None = None
    artifacts: list[MadeFile] = []
    name = PurePosixPath(payload.file_key).name
    wishes = list(requested.values())
    with ceiling(limits.MEMORY_BYTES, limits.OUTPUT_BYTES):
        with in_time():
            opened = open_source(path, name, wishes, context.workdir, payload.encoding)
        with opened as source:
            for done, (operation, wanted) in enumerate(requested.items()):
                context.progress(done, len(requested), operation)
                with in_time():
                    made = _apply(source, wanted)
                if isinstance(made, FileMetadata):
                    metadata = made
                elif made is not None:
                    artifacts.append(_keep(context, operation, source, made))
    context.progress(len(requested), len(requested), "done")
    return ProcessedFile(
        content_type=source.kind.content_type,
        size=source.size,
        validated="validate" in requested,
        metadata=metadata,
        artifacts=artifacts,
    )


def _apply(source: Source, wanted: Operation) -> Output | FileMetadata | None:
    match wanted:
        case Validate():
            source.validate(wanted)
            return None
        case ExtractMetadata():
            return source.describe(wanted)
        case Compress():
            return source.compress(wanted)
        case Convert():
            return source.convert(wanted)
        case Thumbnail():
            return source.thumbnail(wanted)


def _keep(context: TaskContext, operation: str, source: Source, output: Output) -> MadeFile:
    kept = context.save_artifact(
        output.name,
        output.path,
        content_type=output.content_type,
        metadata={"operation": operation},
    )
    saved = round(1 - kept.size / source.size, 4)
    return MadeFile(**kept.model_dump(), operation=operation, saved=saved)
