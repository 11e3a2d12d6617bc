"""What HTTP asks of every answer: verbs, codings, validators and headers."""

from __future__ import annotations

import gzip
import json

import pytest

from tests.integration.api.conftest import Api, problem


@pytest.mark.parametrize(
    "path", ["/health", "/health/ready", "/problems", "/catalogue", "/tasks", "/queues", "/docs"]
)
def test_head_is_answered_as_get_without_the_body(api: Api, path: str) -> None:
    """HEAD has the status and the headers of GET, and no body."""
    head, get = api("HEAD", path), api.get(path)
    assert (head.status_code, head.content) == (get.status_code, b"")
    assert head.headers["content-type"] == get.headers["content-type"]


def test_head_of_a_task(api: Api) -> None:
    """HEAD serves conditional requests too, and errors."""
    task_id = api.submit()
    etag = api("HEAD", f"/tasks/{task_id}").headers["etag"]
    answer = api("HEAD", f"/tasks/{task_id}", headers={"If-None-Match": etag})
    assert answer.status_code == 304
    assert api("HEAD", "/tasks/nope").status_code == 404
    assert api("HEAD", f"/tasks/{task_id}/retry").status_code == 405


@pytest.mark.parametrize("path", ["/tasks", "/catalogue", "/tasks/nope", "/files/files/1-2/a"])
def test_no_cache_keeps_what_needs_a_key(api: Api, path: str) -> None:
    """Answers for a key say so to caches, and to browsers that guess types, errors included."""
    for answer in (api.get(path), api.without_key().get(path), api("PUT", path)):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"


def test_every_answer_forbids_to_guess_its_type(api: Api) -> None:
    """Those without a key and those of unknown paths too."""
    for path in ("/health", "/problems", "/nowhere", "/docs", "/docs/files/start.js"):
        assert api.get(path).headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate, gzip", "GZIP"])
def test_a_compressed_body_is_a_415(api: Api, coding: str) -> None:
    """The answer names the header, and what would be taken."""
    body = gzip.compress(json.dumps({"name": "Ada"}).encode())
    headers = {"Content-Type": "application/json", "Content-Encoding": coding}
    answer = api.post("/tasks/greet", content=body, headers=headers)
    assert "Content-Encoding" in problem(answer, 415, "unsupported-media-type")["detail"]
    assert answer.headers["accept-encoding"] == "identity"


def test_an_uncompressed_body_may_say_so(api: Api) -> None:
    """``Content-Encoding: identity`` changes nothing."""
    headers = {"Content-Encoding": "identity"}
    assert api.post("/tasks/greet", json={"name": "A"}, headers=headers).status_code == 202


@pytest.mark.parametrize("header", [",", " , ,", "", '"0"', '"x", "y"'])
def test_if_none_match_that_names_no_version_is_no_304(api: Api, header: str) -> None:
    """A task is unchanged only from a version that the header names."""
    task_id = api.submit()
    answer = api.get(f"/tasks/{task_id}", headers={"If-None-Match": header})
    assert answer.status_code == 200


@pytest.mark.parametrize("wait", ["", "?wait=1"])
def test_any_version_is_unchanged(api: Api, wait: str) -> None:
    """``If-None-Match: *`` is a 304 for a task that there is, after the wait asked for."""
    answer = api.get(f"/tasks/{api.submit()}{wait}", headers={"If-None-Match": "*"})
    assert answer.status_code == 304


@pytest.mark.parametrize(
    "moment", ["0.5", "1", "1735689600", "-1", "1e9", "20250101", "NaN", "now"]
)
def test_a_number_is_no_moment(api: Api, moment: str) -> None:
    """``created_after`` is ISO 8601: numbers could be seconds or milliseconds."""
    document = problem(api.get("/tasks", params={"created_after": moment}), 422, "invalid")
    assert [each["parameter"] for each in document["errors"]] == ["created_after"]


@pytest.mark.parametrize(
    "moment", ["2025-01-01", "2025-01-01T00:00:00Z", "2025-01-01T00:00:00.5+02:00"]
)
def test_iso_8601_is_a_moment(api: Api, moment: str) -> None:
    """A date, and a time with or without an offset."""
    assert api.get("/tasks", params={"created_after": moment}).status_code == 200
