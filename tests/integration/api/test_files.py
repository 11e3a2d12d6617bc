"""POST /files and GET /files/{file_key}: bytes in and out of S3."""

from __future__ import annotations

import pytest
import requests

from celeriac.storage.services import services
from tests.integration.api.conftest import Api, problem

PHOTO = {"filename": "photo.jpg", "content_type": "image/jpeg", "size": 5}


def test_a_ticket_says_where_the_file_goes(api: Api) -> None:
    """201 names the key, a form to upload with that is good for one type and size, and an end."""
    answer = api.post("/files", json=PHOTO)
    ticket = answer.json()
    assert answer.status_code == 201
    assert ticket["file_key"].startswith("uploads/")
    assert ticket["file_key"].endswith("/photo.jpg")
    assert answer.headers["location"] == f"/files/{ticket['file_key']}"
    assert ticket["upload"]["fields"]["Content-Type"] == "image/jpeg"
    assert ticket["upload"]["fields"]["key"] == f"uploads/{api.tenant}/{ticket['file_key']}"
    assert ticket["upload"]["expires_at"] < ticket["expires_at"]


@pytest.mark.parametrize(
    ("filename", "name"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\my photo (1).jpg", "my_photo_1_.jpg"),
        ("..", "file"),
        (".bashrc", "bashrc"),
        ("\x00\r\n", "_"),
        ("фото é.png", "фото_é.png"),
        ("100%.csv", "100_.csv"),
        ("ж" * 200, "ж" * 200),
    ],
)
def test_a_filename_becomes_a_harmless_key(api: Api, filename: str, name: str) -> None:
    """Paths, controls and what needs escaping never reach the key; letters of all scripts do."""
    ticket = api.post("/files", json={**PHOTO, "filename": filename}).json()
    assert ticket["file_key"].split("/", 2)[2] == name
    problem(api.get(ticket["links"]["self"]), 404, "file-not-found")


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"filename": ""}, "#/filename"),
        ({"filename": "x" * 201}, "#/filename"),
        ({"content_type": "jpeg"}, "#/content_type"),
        ({"content_type": "image/jpeg\r\nX: y"}, "#/content_type"),
        ({"size": 0}, "#/size"),
        ({"size": 10**12}, "#/size"),
        ({"size": 10**400}, "#/size"),
        ({"sise": 1}, "#/sise"),
    ],
)
def test_wrong_files_are_refused(api: Api, change: dict[str, object], pointer: str) -> None:
    """Each limit on name, type and size has its pointer."""
    document = problem(api.post("/files", json={**PHOTO, **change}), 422, "invalid")
    assert [each["pointer"] for each in document["errors"]] == [pointer]


def test_a_download_is_a_redirect_that_saves(api: Api) -> None:
    """303 leads to the bytes, always as a download, whatever type was claimed."""
    key = "files/0-1/page.html"
    services().artifacts.put(api.tenant, key, b"<script>", content_type="text/html")
    answer = api.get(f"/files/{key}")
    assert answer.status_code == 303
    file = requests.get(answer.headers["location"], timeout=60)
    assert file.content == b"<script>"
    assert file.headers["content-type"] == "application/octet-stream"
    assert file.headers["content-disposition"].startswith("attachment")


def test_artifacts_of_tasks_are_files_too(api: Api) -> None:
    """What a task made is fetched by its key, in any script."""
    key = "tasks/0-1/1/отчёт 1.pdf"
    services().artifacts.put(api.tenant, key, b"%PDF", content_type="application/pdf")
    answer = api.get(f"/files/{key}")
    assert requests.get(answer.headers["location"], timeout=60).content == b"%PDF"


def test_files_of_others_and_the_systems_own_are_404(api: Api) -> None:
    """Another tenant's file doesn't exist, nor do stored inputs and results, nor odd keys."""
    services().artifacts.put("other", "files/0-1/a", b"x", content_type="text/plain")
    services().artifacts.put(api.tenant, "values/0-1/a", b"x", content_type="text/plain")
    odd = ["../other/files/0-1/a", "%2e%2e/other/files/0-1/a", "files/0-1/%00", "files/0-1/.."]
    for key in ["files/0-1/a", "values/0-1/a", "", "x" * 3000, *odd]:
        assert api.get(f"/files/{key}").status_code == 404, key


def test_an_upload_by_its_form_can_be_downloaded(api: Api) -> None:
    """A client that sends the fields and then the file finds the same bytes again."""
    ticket = api.post("/files", json=PHOTO).json()
    sent = requests.post(
        ticket["upload"]["url"],
        data=ticket["upload"]["fields"],
        files={"file": b"bytes"},
        timeout=60,
    )
    assert sent.ok, sent.text
    answer = api.get(ticket["links"]["self"])
    assert answer.status_code == 303
    assert requests.get(answer.headers["location"], timeout=60).content == b"bytes"
