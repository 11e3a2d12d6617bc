"""Files in S3: each belongs to a tenant, and is never shown in place by a browser."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from celeriac.records import identifiers
from celeriac.settings import Settings
from celeriac.storage.artifacts import (
    ArtifactKeyError,
    ArtifactNotFoundError,
    Artifacts,
    is_key,
    safe_content_type,
)
from celeriac.storage.services import services

MINUTE = timedelta(minutes=1)


@pytest.fixture
def artifacts(aws: Settings) -> Artifacts:
    return services().artifacts


@pytest.fixture
def key() -> str:
    """A key of the test's own."""
    return f"files/{identifiers.new_task_id()}/leaf.txt"


HOSTILE = [
    "",
    "leaf.txt",
    "files/",
    "files/1",
    "files/1/",
    "files//leaf.txt",
    "files/../tasks/1/leaf.txt",
    "files/1/../../../other/files/1/leaf.txt",
    "files/1/..",
    "files/1/./leaf.txt",
    "files/1/a//b",
    "/files/1/leaf.txt",
    "tenants/other/files/1/leaf.txt",
    "files/1/leaf\x00.txt",
    "files/1/leaf\n.txt",
    "files/1/\x7f",
    "files/1/\ud800.txt",
    "files/%2e%2e/leaf.txt",
    "files/ü/leaf.txt",
    "files/1/" + "x" * 900,
    "files/1/" + "ü" * 450,
    "files/" + "1" * 65 + "/leaf.txt",
]
ODD_BUT_HARMLESS = [
    "files/1/leaf with blanks.txt",
    "files/1/日本語 🥕.txt",
    "files/1/..leaf..txt",
    "files/1/%2e%2e%2fleaf.txt",
    "files/1/a/b/c.txt",
    "files/1/-rf",
    'files/1/"quoted";x=y.txt',
    "files/1/" + "ü" * 440,
]


@pytest.mark.parametrize("key", HOSTILE)
def test_a_hostile_key_finds_nothing(artifacts: Artifacts, key: str, tmp_path: Path) -> None:
    """Reading says that there is no such artifact, and S3 is never asked."""
    assert not is_key(key)
    for read in (
        lambda: artifacts.get("shop", key),
        lambda: artifacts.head("shop", key),
        lambda: artifacts.download("shop", key, tmp_path / "x"),
        lambda: artifacts.link("shop", key, lifetime=MINUTE),
    ):
        with pytest.raises(ArtifactNotFoundError):
            read()


@pytest.mark.parametrize("key", HOSTILE)
def test_nothing_is_kept_under_a_hostile_key(artifacts: Artifacts, key: str) -> None:
    """Writing says what is wrong with it."""
    with pytest.raises(ArtifactKeyError, match="can't be the key of an artifact"):
        artifacts.put("shop", key, b"", content_type="text/plain")
    with pytest.raises(ArtifactKeyError, match="can't be the key of an artifact"):
        artifacts.upload("shop", key, content_type="text/plain", size=1, lifetime=MINUTE)


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_key_leads_out_of_its_tenant(folder: str, name: str) -> None:
    """What is a key stays below its first folder, however its parts are read."""
    key = f"{folder}/{name}"
    if is_key(key):
        assert key.split("/", maxsplit=1)[0] in {"files", "tasks", "values"}
        assert not {"", ".", ".."} & set(key.split("/"))
        key.encode()


@pytest.mark.parametrize("key", ODD_BUT_HARMLESS)
def test_odd_names_are_kept_and_found(artifacts: Artifacts, key: str) -> None:
    """People name files as they like."""
    artifacts.put("shop", key, b"green", content_type="text/plain")

    assert artifacts.get("shop", key) == b"green"
    assert [found.key for found in artifacts.list("shop", key)] == [key]


@pytest.mark.parametrize("as_file", [False, True])
def test_bytes_and_files_are_kept_alike(
    artifacts: Artifacts, key: str, tmp_path: Path, *, as_file: bool
) -> None:
    """Size and type are known afterwards."""
    path = tmp_path / "leaf"
    path.write_bytes(b"green")

    size = artifacts.put("shop", key, path if as_file else b"green", content_type="text/plain")

    assert size == 5
    assert artifacts.head("shop", key) == (5, "text/plain")
    artifacts.download("shop", key, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"green"


def test_another_tenants_artifact_is_not_there(
    artifacts: Artifacts, key: str, tmp_path: Path
) -> None:
    """Neither read, nor linked, nor listed, nor deleted."""
    artifacts.put("shop", key, b"green", content_type="text/plain")

    for read in (
        lambda: artifacts.get("other", key),
        lambda: artifacts.head("other", key),
        lambda: artifacts.download("other", key, tmp_path / "x"),
        lambda: artifacts.link("other", key, lifetime=MINUTE),
    ):
        with pytest.raises(ArtifactNotFoundError):
            read()
    artifacts.delete("other", [key])
    assert list(artifacts.list("other", "files/")) == []
    assert artifacts.get("shop", key) == b"green"


def test_deleting_is_done_in_batches(artifacts: Artifacts, key: str) -> None:
    """S3 takes a thousand keys a call; those that aren't there count as removed."""
    artifacts.put("shop", key, b"", content_type="text/plain")
    absent = [f"files/none/{n}" for n in range(1000)]

    artifacts.delete("shop", [*absent, key])

    with pytest.raises(ArtifactNotFoundError):
        artifacts.head("shop", key)


def test_what_s3_does_not_delete_is_told(artifacts: Artifacts, key: str) -> None:
    """S3 answers 200 and names what it refused: that is no success."""
    denied = [{"Key": key, "Code": "SlowDown", "Message": "Please reduce your request rate."}]
    stub = {"delete_objects": lambda _self, **_: {"Errors": denied}}
    refusing = Artifacts(type("S3", (), stub)(), "bucket")

    with pytest.raises(ClientError, match="SlowDown"):
        refusing.delete("shop", [key])


def promises(url: str) -> dict[str, str]:
    """What S3 is asked to say of a file, by the signed parameters of its link."""
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


@pytest.mark.parametrize(
    ("stored", "served"),
    [
        ("text/html", "application/octet-stream"),
        ("TEXT/HTML; charset=utf-8", "application/octet-stream"),
        ("application/xhtml+xml", "application/octet-stream"),
        ("image/svg+xml", "application/octet-stream"),
        ("text/xml", "application/octet-stream"),
        ("application/xml", "application/octet-stream"),
        ("application/mathml+xml", "application/octet-stream"),
        ("text/xsl", "application/octet-stream"),
        ("application/xslt+xml", "application/octet-stream"),
        ("text/javascript", "application/octet-stream"),
        ("application/ecmascript", "application/octet-stream"),
        ("text/plain", "text/plain"),
        ("image/webp", "image/webp"),
        ("application/pdf", "application/pdf"),
        (
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        ),
    ],
)
def test_active_content_is_served_as_plain_bytes(
    artifacts: Artifacts, key: str, stored: str, served: str
) -> None:
    """A browser saves it, whatever its sender said that it is."""
    artifacts.put("shop", key, b"<script>", content_type=stored)

    asked = promises(artifacts.link("shop", key, lifetime=MINUTE))

    assert safe_content_type(stored) == served
    assert asked["response-content-type"] == served
    assert asked["response-content-disposition"].startswith("attachment; ")


@pytest.mark.parametrize("key", ODD_BUT_HARMLESS)
def test_a_link_keeps_the_files_name(artifacts: Artifacts, key: str) -> None:
    """In RFC 6266's form, which can hold any name and can't be broken out of."""
    artifacts.put("shop", key, b"", content_type="text/plain")

    disposition = promises(artifacts.link("shop", key, lifetime=MINUTE))[
        "response-content-disposition"
    ]

    encoded = disposition.removeprefix("attachment; filename*=UTF-8''")
    assert encoded.isascii()
    assert not set(encoded) & set('"; ,')
    assert unquote(encoded) == key.rpartition("/")[2]


def test_a_link_lives_as_long_as_asked(artifacts: Artifacts, key: str) -> None:
    """Its expiry is signed with it."""
    artifacts.put("shop", key, b"", content_type="text/plain")

    asked = promises(artifacts.link("shop", key, lifetime=MINUTE))

    assert asked["X-Amz-Expires"] == "60"
    assert "X-Amz-Signature" in asked


def test_an_upload_is_bound_to_its_size_and_type(artifacts: Artifacts, key: str) -> None:
    """S3 refuses a file of another size or type: the policy is signed."""
    upload = artifacts.upload("shop", key, content_type="image/png", size=123, lifetime=MINUTE)
    conditions = json.loads(base64.b64decode(upload.fields["policy"]))["conditions"]

    assert ["content-length-range", 123, 123] in conditions
    assert {"Content-Type": "image/png"} in conditions
    assert {"key": f"tenants/shop/{key}"} in conditions
    assert upload.fields["Content-Type"] == "image/png"
