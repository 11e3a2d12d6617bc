"""/health and /health/ready."""

from __future__ import annotations

import time

import pytest

from celeriac.http.app import create_app
from celeriac.http.routes.health import forget
from celeriac.settings import Settings
from tests.integration.api.conftest import Api, problem
from tests.integration.api.throwaway import CATALOGUE


def test_ready_means_that_every_service_answers(api: Api) -> None:
    """All three are asked, and each is named."""
    answer = api.get("/health/ready")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ok",
        "checks": dict.fromkeys(("dynamodb", "s3", "sqs"), "ok"),
    }


def test_a_missing_table_is_not_ready(api: Api) -> None:
    """A service that answers without what is needed has failed; no more than that is told."""
    broken = create_app(Settings(table_name="elsewhere"), CATALOGUE)
    document = problem(api.on(broken).get("/health/ready"), 503, "unavailable")
    assert document["checks"] == {"dynamodb": "failed", "s3": "ok", "sqs": "ok"}
    assert api.on(broken).get("/health").status_code == 200


def test_silence_is_not_ready_and_is_not_waited_for(
    api: Api, silent_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Services that never answer are given a few seconds, side by side."""
    for service in ("SQS", "S3", "DYNAMODB"):
        monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", silent_endpoint)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    forget()
    begun = time.monotonic()
    answer = api.get("/health/ready")
    document = problem(answer, 503, "unavailable")
    assert set(document["checks"].values()) == {"failed"}
    assert "127.0.0.1" not in answer.text
    assert int(answer.headers["retry-after"]) > 0
    assert time.monotonic() - begun < 6
