"""S3, path style: buckets and objects in memory."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from hashlib import md5
from http import HTTPStatus
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from celeriac.local.standin.errors import AwsError
from celeriac.local.standin.http import Request

_XML = '<?xml version="1.0" encoding="UTF-8"?>\n'
_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_CHUNK = re.compile(rb"([0-9a-f]+)(?:;[^\r\n]*)?\r\n")

#: Status, body, headers.
Answer = tuple[int, bytes, str]


@dataclass(frozen=True)
class Object:
    """``headers`` are the lines that come back with it."""

    content: bytes
    headers: str
    modified_at: datetime
    etag: str


class S3:
    """The service."""

    def __init__(self) -> None:
        self.buckets: dict[str, dict[str, Object]] = {}

    def operation(self, request: Request) -> str:
        """The name of what is asked for."""
        _, _, key = request.path.lstrip("/").partition("/")
        kind = "Object" if key else "Bucket"
        if "delete" in request.query:
            return "DeleteObjects"
        if not key and request.method == "GET":
            return "ListObjectsV2"
        if not key and "lifecycle" in request.query:
            return "PutBucketLifecycleConfiguration"
        verb = {"PUT": "Put" if key else "Create"}.get(request.method, request.method.title())
        return f"{verb}{kind}"

    def perform(self, operation: str, request: Request) -> Answer:
        bucket, _, key = request.path.lstrip("/").partition("/")
        if operation == "CreateBucket":
            self.buckets.setdefault(bucket, {})
            return HTTPStatus.OK, b"", ""
        try:
            objects = self.buckets[bucket]
        except KeyError:
            raise AwsError(
                "NoSuchBucket", "The bucket does not exist.", status=HTTPStatus.NOT_FOUND
            ) from None
        match operation:
            case "PutObject":
                return _put(objects, key, request)
            case "GetObject" | "HeadObject":
                return _get(objects, key, request)
            case "DeleteObject":
                objects.pop(key, None)
                return HTTPStatus.NO_CONTENT, b"", ""
            case "DeleteObjects":
                return _delete(objects, request)
            case "ListObjectsV2":
                return _list(objects, bucket, request)
            case "HeadBucket" | "PutBucketLifecycleConfiguration":
                # Its objects end with it, which is sooner than any of them expires.
                return HTTPStatus.OK, b"", ""
            case _:
                raise AwsError("NotImplemented", operation, status=HTTPStatus.NOT_IMPLEMENTED)


def refusal(error: AwsError) -> bytes:
    """An error as S3 writes it."""
    message = escape(str(error))
    return f"{_XML}<Error><Code>{error.type}</Code><Message>{message}</Message></Error>".encode()


def _put(objects: dict[str, Object], key: str, request: Request) -> Answer:
    content = request.body
    if "aws-chunked" in request.headers.get("content-encoding", ""):
        content = _unchunked(content)
    etag = md5(content, usedforsecurity=False).hexdigest()
    kept = {
        name: value
        for name, value in request.headers.items()
        if name == "content-type" or name.startswith("x-amz-meta-")
    }
    headers = "".join(f"{name}: {value}\r\n" for name, value in kept.items())
    objects[key] = Object(content, headers, datetime.now(UTC).replace(microsecond=0), etag)
    return HTTPStatus.OK, b"", f'ETag: "{etag}"\r\n'


def _unchunked(body: bytes) -> bytes:
    """The content of a body in AWS's own chunks, which may be signed and have trailers."""
    content = bytearray()
    position = 0
    while (match := _CHUNK.match(body, position)) is not None and (size := int(match[1], 16)):
        content += body[match.end() : match.end() + size]
        position = match.end() + size + 2
    return bytes(content)


def _get(objects: dict[str, Object], key: str, request: Request) -> Answer:
    found = objects.get(key)
    if found is None:
        raise AwsError("NoSuchKey", "The key does not exist.", status=HTTPStatus.NOT_FOUND)
    headers = (
        f'{found.headers}ETag: "{found.etag}"\r\n'
        f"Last-Modified: {format_datetime(found.modified_at, usegmt=True)}\r\n"
    )
    match = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
    if match is None:
        return HTTPStatus.OK, found.content, headers
    first, last = int(match[1]), int(match[2] or len(found.content) - 1)
    part = found.content[first : last + 1]
    headers += f"Content-Range: bytes {first}-{first + len(part) - 1}/{len(found.content)}\r\n"
    return HTTPStatus.PARTIAL_CONTENT, part, headers


def _delete(objects: dict[str, Object], request: Request) -> Answer:
    for each in ET.fromstring(request.body).iter():  # noqa: S314 - our own clients' XML
        if each.tag.endswith("Key") and each.text:
            objects.pop(each.text, None)
    return HTTPStatus.OK, f'{_XML}<DeleteResult xmlns="{_NAMESPACE}"/>'.encode(), ""


def _list(objects: dict[str, Object], bucket: str, request: Request) -> Answer:
    prefix = request.query.get("prefix", "")
    most = int(request.query.get("max-keys", 1000))
    after = request.query.get("continuation-token", "")
    keys = sorted(key for key in objects if key.startswith(prefix) and key > after)
    page = keys[:most]
    contents = "".join(
        f"<Contents><Key>{escape(key)}</Key><Size>{len(objects[key].content)}</Size>"
        f"<LastModified>{objects[key].modified_at:%Y-%m-%dT%H:%M:%S.000Z}</LastModified>"
        f"<ETag>&quot;{objects[key].etag}&quot;</ETag></Contents>"
        for key in page
    )
    more = len(keys) > len(page)
    token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
    body = (
        f'{_XML}<ListBucketResult xmlns="{_NAMESPACE}"><Name>{bucket}</Name>'
        f"<KeyCount>{len(page)}</KeyCount><MaxKeys>{most}</MaxKeys>"
        f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{contents}</ListBucketResult>"
    )
    return HTTPStatus.OK, body.encode(), "Content-Type: application/xml\r\n"
