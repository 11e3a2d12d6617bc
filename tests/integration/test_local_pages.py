"""A web page under development, against the AWS on this machine."""

from __future__ import annotations

from datetime import timedelta

import boto3
import httpx
import pytest

from celeriac.contract import catalogue
from celeriac.local import environment
from celeriac.local.aws import AwsServer
from celeriac.local.provision import provision
from celeriac.storage.artifacts import Artifacts

PAGE = "http://localhost:5173"
ALLOW_ORIGIN = "access-control-allow-origin"


def test_a_page_uploads_and_reads_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the form and the link that the API gives; after its redirect the page is "null"."""
    with AwsServer() as server, httpx.Client(trust_env=False) as browser:
        for name, value in environment.aws_variables(server.endpoint).items():
            monkeypatch.setenv(name, value)
        settings = environment.settings_at(server.endpoint)
        provision(settings, catalogue(), server.endpoint)
        artifacts = Artifacts(boto3.client("s3"), settings.bucket_name)
        lifetime = timedelta(minutes=1)
        form = artifacts.upload(
            "acme", "files/1/a.txt", content_type="text/plain", size=5, lifetime=lifetime
        )

        uploaded = browser.post(
            form.url,
            data=dict(form.fields),
            files={"file": ("a.txt", b"hello", "text/plain")},
            headers={"Origin": PAGE},
        )
        link = artifacts.link("acme", "files/1/a.txt", lifetime=lifetime)
        read = browser.get(link, headers={"Origin": "null"})

    assert uploaded.is_success
    assert uploaded.headers[ALLOW_ORIGIN] in {PAGE, "*"}
    assert read.content == b"hello"
    assert read.headers[ALLOW_ORIGIN] in {"null", "*"}


def test_the_pages_of_the_shell_reach_the_api(monkeypatch: pytest.MonkeyPatch) -> None:
    """``CELERIAC_WEB_ORIGINS=… celeriac dev``: its processes have the same setting."""
    monkeypatch.setenv("CELERIAC_WEB_ORIGINS", PAGE)

    assert environment.variables("http://127.0.0.1:5000")["CELERIAC_WEB_ORIGINS"] == PAGE
