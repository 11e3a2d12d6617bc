"""Look into an uploaded file, and make smaller, converted or tiny ones of it."""

from datetime import timedelta
from pathlib import PurePosixPath

from tasks.contract import Artifact, BaseModel, Field, Queue, Retry, TaskContext, task
from tasks.files import limits
from tasks.files.families import open_source
from tasks.files.faults import Fault
from tasks.files.guard import ceiling
from tasks.files.metadata import FileMetadata
from tasks.files.operations import (
    Compress,
    Convert,
    ExtractMetadata,
    Operations,
    Thumbnail,
    Validate,
)
from tasks.files.source import Output, Source


class ProcessFile(BaseModel, extra="forbid"):
    """A file, and any operations together: they are done in one pass."""

    file_key: str = Field(min_length=1, max_length=1024, examples=["files/0198c0de/photo.jpg"])
    encoding: str | None = Field(
        default=None,
        max_length=40,
        examples=["cp1251"],
        description="Of text, CSV and JSON lines, by Python's name. Absent: it is recognised.",
    )
    operations: Operations = Field(
        examples=[{"validate": True, "extract_metadata": True, "thumbnail": {"max_side": 256}}]
    )


class MadeFile(Artifact):
    """An output. ``saved`` is the share of the source's bytes saved, negative if it is larger."""

    operation: str
    saved: float


class ProcessedFile(BaseModel):
    """What was found and made. ``content_type`` and ``size`` (bytes) are the source's own."""

    content_type: str
    size: int
    validated: bool = Field(description="Whether validation was asked for, and so passed.")
    metadata: FileMetadata | None
    artifacts: list[MadeFile]


@task(
    queue=Queue.FILES,
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
    with (
        ceiling(),
        open_source(path, name, wishes, context.workdir, payload.encoding) as source,
    ):
        for done, (operation, wanted) in enumerate(requested.items()):
            context.progress(done, len(requested), operation)
            match wanted:
                case Validate():
                    source.validate(wanted)
                case ExtractMetadata():
                    metadata = source.describe(wanted)
                case Compress():
                    artifacts.append(_keep(context, operation, source, source.compress(wanted)))
                case Convert():
                    artifacts.append(_keep(context, operation, source, source.convert(wanted)))
                case Thumbnail():
                    artifacts.append(_keep(context, operation, source, source.thumbnail(wanted)))
    context.progress(len(requested), len(requested), "done")
    return ProcessedFile(
        content_type=source.kind.content_type,
        size=source.size,
        validated="validate" in requested,
        metadata=metadata,
        artifacts=artifacts,
    )


def _keep(context: TaskContext, operation: str, source: Source, output: Output) -> MadeFile:
    kept = context.save_artifact(
        output.name,
        output.path,
        content_type=output.content_type,
        metadata={"operation": operation},
    )
    saved = round(1 - kept.size / source.size, 4)
    return MadeFile(**kept.model_dump(), operation=operation, saved=saved)
