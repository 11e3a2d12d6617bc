"""Files and large values in S3. Every key belongs to a tenant, so none can be read by another.

    uploads/<tenant>/uploads/<id>/<name>                   what a caller uploaded
    tenants/<tenant>/files/<id>/<name>                     what a caller uploaded before that
    tenants/<tenant>/tasks/<task_id>/<attempt>/<name>      what a task made
    tenants/<tenant>/values/<task_id>/<name>.json          an input or result too large for a record
    delayed/<tenant>/delayed/<task_id>/<name>.json         such an input of a task that is due later

Outside this module a key is what follows the tenant: ``uploads/<id>/photo.jpg``. S3 expires objects
by how their keys begin, so what has another lifetime begins differently.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from botocore.exceptions import ClientError

from celeriac.contract.errors import Picklable
from celeriac.topology import DELAYED, TENANT_OBJECTS, UPLOADS

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# S3 takes keys of 1,024 bytes of UTF-8; the tenant's prefix has to fit in too.
# docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
_LONGEST_KEY = 900
_KEY = re.compile(
    r"((files|uploads)/[0-9A-Za-z-]{1,64}|(tasks|values|delayed)/[0-9A-Za-z_.:-]{1,255})"
    r"/[^\x00-\x1f\x7f\ud800-\udfff]+"
)

#: What a browser would run if it opened it: offered as plain bytes, to be saved. Office documents
#: have "openxml" in their types and are none of these.
_ACTIVE = re.compile(r"html|svg|[/+]xml|/xsl|javascript|ecmascript", re.IGNORECASE)


class ArtifactKeyError(Picklable, ValueError):
    """Nothing can be kept under this key: its name is empty, too long, or leads elsewhere."""

    def __init__(self, key: str) -> None:
        super().__init__(
            f"{key!r} can't be the key of an artifact. Give it a name without '..', empty parts "
            f"and control characters; {_LONGEST_KEY} bytes are the most."
        )
        self.key = key


class ArtifactNotFoundError(Picklable, LookupError):
    """This tenant has no artifact of this key."""

    def __init__(self, key: str) -> None:
        super().__init__(f"There is no artifact {key!r}. It may have expired.")
        self.key = key


@dataclass(frozen=True)
class StoredArtifact:
    """An artifact as S3 lists it. ``size`` is in bytes."""

    key: str
    size: int


@dataclass(frozen=True)
class Upload:
    """A presigned S3 POST: send ``fields``, then the file, to ``url`` as multipart/form-data."""

    url: str
    fields: Mapping[str, str]


class Artifacts:
    """The artifacts of one bucket."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def put(
        self,
        tenant: str,
        key: str,
        content: bytes | Path,
        *,
        content_type: str,
        metadata: Mapping[str, str] | None = None,
    ) -> int:
        """Keep bytes, or the file at a path, under a key; its size in bytes.

        Raises ``ArtifactKeyError``.
        """
        if not is_key(key):
            raise ArtifactKeyError(key)
        headers: dict[str, Any] = {"ContentType": content_type, "Metadata": dict(metadata or {})}
        where = _full_key(tenant, key)
        if isinstance(content, bytes):
            self._client.put_object(Bucket=self._bucket, Key=where, Body=content, **headers)
            return len(content)
        # In parts, several at a time: a file may be larger than memory.
        self._client.upload_file(str(content), self._bucket, where, ExtraArgs=headers)
        return content.stat().st_size

    def get(self, tenant: str, key: str) -> bytes:
        """The bytes under a key. Raises ``ArtifactNotFoundError``."""
        with _not_found(key):
            answer = self._client.get_object(Bucket=self._bucket, Key=_full_key(tenant, key))
            return answer["Body"].read()

    def download(self, tenant: str, key: str, path: Path) -> None:
        """Write what is under a key to a path. Raises ``ArtifactNotFoundError``."""
        with _not_found(key):
            self._client.download_file(self._bucket, _full_key(tenant, key), str(path))

    def head(self, tenant: str, key: str) -> tuple[int, str]:
        """Size in bytes and content type. Raises ``ArtifactNotFoundError``."""
        with _not_found(key):
            answer = self._client.head_object(Bucket=self._bucket, Key=_full_key(tenant, key))
            return answer["ContentLength"], answer["ContentType"]

    def delete(self, tenant: str, keys: list[str]) -> None:
        """Remove artifacts; those that aren't there count as removed.

        Raises:
            botocore.exceptions.ClientError: S3 didn't remove one of them.
        """
        # docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html: 1,000 keys at most.
        for start in range(0, len(keys), 1000):
            chunk = keys[start : start + 1000]
            answer = self._client.delete_objects(
                Bucket=self._bucket,
                Delete={"Objects": [{"Key": _full_key(tenant, key)} for key in chunk]},
            )
            if failed := answer.get("Errors"):
                code, message = failed[0].get("Code", ""), failed[0].get("Message", "")
                refusal: Any = {"Error": {"Code": code, "Message": message}}
                raise ClientError(refusal, "DeleteObjects")

    def list(self, tenant: str, prefix: str) -> Iterator[StoredArtifact]:
        """The artifacts that the tenant's tasks made whose keys begin with ``prefix``."""
        root = f"{TENANT_OBJECTS}{tenant}/"
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=root + prefix
        )
        for page in pages:
            for found in page.get("Contents", []):
                yield StoredArtifact(found["Key"].removeprefix(root), found["Size"])

    def link(self, tenant: str, key: str, *, lifetime: timedelta) -> str:
        """A URL from which anyone can fetch the artifact until it expires, as a download."""
        name = key.rpartition("/")[2]
        size_and_type = self.head(tenant, key)
        parameters = {
            "Bucket": self._bucket,
            "Key": _full_key(tenant, key),
            # RFC 6266: the name in UTF-8. Never shown in place, whatever its type.
            "ResponseContentDisposition": f"attachment; filename*=UTF-8''{quote(name)}",
            "ResponseContentType": safe_content_type(size_and_type[1]),
        }
        return self._client.generate_presigned_url(
            "get_object", Params=parameters, ExpiresIn=int(lifetime.total_seconds())
        )

    def upload(
        self, tenant: str, key: str, *, content_type: str, size: int, lifetime: timedelta
    ) -> Upload:
        """Where and how a caller can send a file of exactly this size and type.

        Raises ``ArtifactKeyError``.
        """
        if not is_key(key):
            raise ArtifactKeyError(key)
        answer = self._client.generate_presigned_post(
            self._bucket,
            _full_key(tenant, key),
            Fields={"Content-Type": content_type},
            Conditions=[{"Content-Type": content_type}, ["content-length-range", size, size]],
            ExpiresIn=int(lifetime.total_seconds()),
        )
        return Upload(answer["url"], answer["fields"])


def is_key(key: str) -> bool:
    """Whether this has the shape of an artifact's key."""
    return (
        _KEY.fullmatch(key) is not None
        and not {"", ".", ".."} & set(key.split("/"))
        and len(key.encode()) <= _LONGEST_KEY
    )


def safe_content_type(content_type: str) -> str:
    """The type to serve a file as: what a browser would run becomes plain bytes."""
    return "application/octet-stream" if _ACTIVE.search(content_type) else content_type


def _full_key(tenant: str, key: str) -> str:
    if not is_key(key):
        raise ArtifactNotFoundError(key)
    first = f"{key.partition('/')[0]}/"
    root = first if first in {UPLOADS, DELAYED} else TENANT_OBJECTS
    return f"{root}{tenant}/{key}"


@contextmanager
def _not_found(key: str) -> Iterator[None]:
    """Translate S3's many ways to say that a key isn't there."""
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] in {"404", "NoSuchKey", "NotFound"}:
            raise ArtifactNotFoundError(key) from None
        raise
