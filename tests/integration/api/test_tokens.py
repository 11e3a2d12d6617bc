"""Behind API Gateway's JWT authorizer, a verified token is who calls."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from celeriac.http import lambda_handler
from celeriac.http.app import create_app
from celeriac.http.tenants import tenant_of
from celeriac.operations.maintenance import repair
from celeriac.settings import TENANT, Settings
from celeriac.storage.services import services
from tests.integration.api.conftest import Api, problem
from tests.integration.api.throwaway import CATALOGUE

EVENTS = Path(__file__).parent / "events"
CLAIM = "custom:tenant"

Invoke = Callable[..., dict[str, Any]]


@pytest.fixture
def tenant() -> str:
    return f"tenant-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def configured(aws: Settings) -> Settings:
    """Settings as the template of a deployment with tokens has them."""
    return aws.model_copy(update={"token_tenant_claim": CLAIM, "token_scope_prefix": "tasks/"})


@pytest.fixture
def call(tenant: str) -> Iterator[Invoke]:
    """Call the Lambda with an event as API Gateway writes it, over an app with these settings."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)

    def invoke(settings: Settings, event: str, **claims: str | None) -> dict[str, Any]:
        document = json.loads((EVENTS / f"{event}.json").read_text("utf-8"))
        found = document["requestContext"]["authorizer"]["jwt"]["claims"]
        found |= {CLAIM: tenant, **claims}
        for name in [name for name, value in found.items() if value is None]:
            del found[name]
        handler = lambda_handler(create_app(settings=settings, catalogue=CATALOGUE))
        answer: dict[str, Any] = handler(document, None)
        return answer

    yield invoke
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    asyncio.set_event_loop(None)


def document(answer: dict[str, Any], status: int, slug: str) -> dict[str, Any]:
    """The problem of an answer, which must be this one."""
    assert answer["statusCode"] == status, answer["body"]
    found: dict[str, Any] = json.loads(answer["body"])
    assert found["type"] == f"/problems/{slug}"
    return found


def test_a_verified_token_submits_and_reads_as_its_tenant(
    configured: Settings, call: Invoke, tenant: str
) -> None:
    """No key is asked for: the tenant is the claim's, and nobody else sees its task."""
    submitted = call(configured, "submit-token")
    assert submitted["statusCode"] == 202, submitted["body"]
    task_id = json.loads(submitted["body"])["task_id"]

    listed = json.loads(call(configured, "list-token")["body"])["data"]
    others = json.loads(call(configured, "list-token", **{CLAIM: "someone-else"})["body"])["data"]

    assert [each["task_id"] for each in listed] == [task_id]
    assert task_id not in {each["task_id"] for each in others}
    record = services().records.get(task_id)
    assert record is not None
    assert record.tenant == tenant


@pytest.mark.parametrize(
    "claims",
    [
        {"scope": "tasks/submit"},
        {"scope": "[openid tasks/submit]"},
        {"scope": None, "scp": "tasks/submit"},
        {"scope": "tasks/admin"},
    ],
    ids=["text", "list", "scp", "admin"],
)
def test_scopes_are_read_as_api_gateway_writes_them(
    configured: Settings, call: Invoke, claims: dict[str, str | None]
) -> None:
    """A text with spaces, or a list in brackets, in either of the two claims; admin allows all."""
    assert call(configured, "submit-token", **claims)["statusCode"] == 202


@pytest.mark.parametrize("scope", ["tasks/read", "submit", "other/submit", None])
def test_a_token_without_the_scope_is_told_which(
    configured: Settings, call: Invoke, scope: str | None
) -> None:
    """403 names the scope as the token must have it; one without the prefix is not ours."""
    found = document(call(configured, "submit-token", scope=scope), 403, "missing-scope")

    assert found["scope"] == "tasks/submit"
    assert "token" in found["detail"]


@pytest.mark.parametrize("name", [None, "", " "])
def test_a_token_without_a_tenant_is_told_the_claim(
    configured: Settings, call: Invoke, name: str | None
) -> None:
    """403 names the claim that is missing or empty; no tenant is made up."""
    answer = call(configured, "submit-token", **{CLAIM: name})

    assert repr(CLAIM) in document(answer, 403, "token-without-tenant")["detail"]


@pytest.mark.parametrize(
    "claim", ["Acme Inc.", "a/b", "acme#1", "auth0|5f7C8eC7C33c6c004bbafe82", "0oa1GHJkl@Clients"]
)
def test_any_claim_names_a_tenant_of_its_own(
    configured: Settings, call: Invoke, claim: str
) -> None:
    """What can't be part of a name in AWS is replaced, and the task is that tenant's."""
    answer = call(configured, "submit-token", **{CLAIM: claim})

    record = services().records.get(json.loads(answer["body"])["task_id"])
    assert record is not None
    assert record.tenant == tenant_of(claim)


@given(st.text(min_size=1).filter(str.strip), st.text(min_size=1).filter(str.strip))
@example("Acme", "acme")
@example("a/b", "a#b")
@example("Acme", tenant_of("Acme"))
def test_two_claims_never_name_one_tenant(claim: str, other: str) -> None:
    """Whatever they look like; each names one that keys and records can hold."""
    for each in (claim, other):
        assert re.fullmatch(TENANT, tenant_of(each))
    assert (tenant_of(claim) == tenant_of(other)) == (claim == other)


@pytest.mark.parametrize("claim", ["acme", "3n4b5urk1ft4fl3mg5e62d9ado", "a" * 63])
def test_a_claim_that_can_be_a_tenant_is_that_tenant(claim: str) -> None:
    """As Cognito's client ids and Entra's GUIDs are."""
    assert tenant_of(claim) == claim


def test_claims_count_only_where_the_deployment_takes_tokens(aws: Settings, call: Invoke) -> None:
    """Without the setting the header is a key, whatever an authorizer has found in it."""
    document(call(aws, "submit-token"), 401, "unauthorized")


def test_a_token_that_nobody_has_verified_is_no_key(configured: Settings, api: Api) -> None:
    """Without API Gateway's event a token is a wrong key, and a key still works."""
    app = create_app(settings=configured, catalogue=CATALOGUE)
    token = Api(app, api.tenant, "eyJhbGciOiJub25lIn0.eyJjdXN0b206dGVuYW50IjoiYWNtZSJ9.")

    problem(token.get("/tasks"), 401, "unauthorized")
    assert api.on(app).get("/tasks").status_code == 200


def test_tasks_of_a_token_are_repaired(configured: Settings, call: Invoke) -> None:
    """The repair finds tasks of a tenant that no key names, and sends a lost one again."""
    task_id = json.loads(call(configured, "submit-token")["body"])["task_id"]
    for lane in configured.lane_urls(CATALOGUE["greet"].queue):
        # Its message is lost.
        while messages := services().sqs.receive_message(QueueUrl=lane).get("Messages"):
            services().sqs.delete_message(QueueUrl=lane, ReceiptHandle=messages[0]["ReceiptHandle"])

    assert task_id in repair(timedelta(0)).resent
