"""The checks that only AWS can show, against answers that AWS's service models allow.

Whether AWS answers so is what ``make verify`` is for.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from infra.verify.trial import Trial
from tests.infra.verify.stubbed import (
    Aws,
    ScriptedApi,
    on,
    stubbed,
)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)


@pytest.fixture
def aws() -> Iterator[Aws]:
    aws = Aws()
    yield aws
    aws.assert_all_asked()


@pytest.fixture
def api() -> ScriptedApi:
    return ScriptedApi()


@pytest.fixture
def trial(aws: Aws, api: ScriptedApi) -> Trial:
    return on(stubbed(aws, api))
