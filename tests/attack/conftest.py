"""The whole API over AWS in this process, and callers with keys of every kind."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from fastapi import FastAPI

from celeriac.http.app import create_app
from celeriac.settings import Settings
from celeriac.storage.keys import Scope
from tests.integration.api.conftest import Api


@pytest.fixture(scope="module")
def app(aws: Settings) -> FastAPI:
    """The API with the built-in task types."""
    return create_app()


@pytest.fixture
def api(app: FastAPI) -> Api:
    """A caller who may do everything, as a tenant that has nothing yet."""
    return Api.of(app)


@pytest.fixture(scope="module")
def callers(app: FastAPI) -> Mapping[str, Api]:
    """A key of each scope, one of another tenant, a wrong one, and none."""
    admin = Api.of(app)
    return {
        "admin": admin,
        **{scope: Api.of(app, admin.tenant, [scope]) for scope in Scope if scope != Scope.ADMIN},
        "stranger": Api.of(app),
        "wrong": Api(app, admin.tenant, "cel_wrong"),
        "none": admin.without_key(),
    }
