"""/files: upload to S3 and download from it, without the bytes passing through the API."""

from __future__ import annotations

import re
import unicodedata
import uuid
from datetime import datetime, timedelta

from fastapi import Response
from fastapi.responses import JSONResponse, RedirectResponse
from pydantic import BaseModel, ConfigDict, Field

from celeriac import clock
from celeriac.errors import unavailable
from celeriac.http.auth import Reader, Submitter
from celeriac.http.dependencies import TheDependencies
from celeriac.http.links import file_path
from celeriac.http.problems import KEYED, Problem, ProblemType, WrongValue, documented
from celeriac.http.route import keyed_router
from celeriac.storage.artifacts import ArtifactNotFoundError
from celeriac.storage.services import services
from celeriac.topology import UPLOADS

router = keyed_router("files")

UPLOAD_LINK = timedelta(minutes=15)
DOWNLOAD_LINK = timedelta(minutes=5)

#: In UTF-8 four bytes each, and S3 takes keys of 1,024 bytes, the tenant's prefix included.
LONGEST_NAME = 200


class NewFile(BaseModel):
    """A file to upload."""

    model_config = ConfigDict(extra="forbid")

    filename: str = Field(
        min_length=1,
        max_length=LONGEST_NAME,
        description="What it is called. In the key, what is neither letter, digit, dot nor dash "
        "becomes an underscore.",
        examples=["photo.jpg"],
    )
    content_type: str = Field(
        max_length=100,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*$",
        description="Its media type; the upload must name the same.",
        examples=["image/jpeg"],
    )
    size: int = Field(
        gt=0, description="How many bytes; the upload must have as many.", examples=[48213]
    )


class UploadForm(BaseModel):
    """A presigned S3 POST: send the fields, then the file as ``file``, as multipart/form-data."""

    url: str
    fields: dict[str, str]
    expires_at: datetime


class FileTicket(BaseModel):
    """Where the file will be, and how to send it there."""

    file_key: str = Field(description="What to name the file by, in a payload or at /files/.")
    upload: UploadForm
    expires_at: datetime = Field(description="Until when the file is kept.")
    links: dict[str, str] = Field(description="`self`: where the file can be fetched from.")


@router.post(
    "/files",
    operation_id="create-file",
    summary="Get a link to upload a file with",
    status_code=201,
    response_model=None,
    responses={
        201: {
            "model": FileTicket,
            "description": "Where the file will be, and how to send it there.",
            "headers": {"Location": {"schema": {"type": "string"}}},
        },
        **documented(
            *KEYED,
            ProblemType.MALFORMED_JSON,
            ProblemType.REQUEST_TIMEOUT,
            ProblemType.TOO_LARGE,
            ProblemType.UNSUPPORTED_MEDIA_TYPE,
            ProblemType.INVALID,
        ),
    },
)
def create_file(new: NewFile, caller: Submitter, dependencies: TheDependencies) -> JSONResponse:
    """Upload with curl: `-F name=value` for each of `upload.fields`, then `-F file=@photo.jpg`."""
    most = dependencies.settings.max_upload_bytes
    if new.size > most:
        wrong = WrongValue(pointer="#/size", detail=f"Input should be at most {most}")
        raise Problem(
            ProblemType.INVALID, f"A file has at most {most:,} bytes here.", errors=[wrong]
        )
    key = f"{UPLOADS}{uuid.uuid4()}/{_safe_name(new.filename)}"
    now = clock.now()
    with unavailable("S3"):
        upload = services().artifacts.upload(
            caller.tenant,
            key,
            content_type=new.content_type,
            size=new.size,
            lifetime=UPLOAD_LINK,
        )
    ticket = FileTicket(
        file_key=key,
        upload=UploadForm(
            url=upload.url,
            fields=dict(upload.fields),
            expires_at=clock.to_datetime(now + clock.millis(UPLOAD_LINK)),
        ),
        expires_at=clock.to_datetime(now + clock.millis(dependencies.settings.upload_ttl)),
        links={"self": file_path(key)},
    )
    return JSONResponse(ticket.model_dump(mode="json"), 201, {"Location": file_path(key)})


@router.get(
    "/files/{file_key:path}",
    operation_id="get-file",
    summary="Download a file or an artifact",
    response_model=None,
    responses={
        303: {
            "description": "Location is a link to the bytes, good for some minutes.",
            "headers": {"Location": {"schema": {"type": "string"}}},
        },
        **documented(
            *KEYED,
            ProblemType.FILE_NOT_FOUND,
            ProblemType.INVALID,
        ),
    },
)
def get_file(file_key: str, caller: Reader) -> Response:
    """What was uploaded, or what a task made. Always a download, never shown in place."""
    # Inputs and results too large for a record are kept in the same bucket, and are not files.
    if not file_key.startswith((UPLOADS, "tasks/", "files/")):
        raise ArtifactNotFoundError(file_key)
    with unavailable("S3"):
        link = services().artifacts.link(caller.tenant, file_key, lifetime=DOWNLOAD_LINK)
    return RedirectResponse(link, status_code=303)


def _safe_name(filename: str) -> str:
    """The last part of a path, in characters that need no escaping anywhere but in a URL."""
    last = re.split(r"[/\\]", filename)[-1]
    name = re.sub(r"[^\w.-]+", "_", unicodedata.normalize("NFC", last))
    return name.lstrip(".") or "file"
