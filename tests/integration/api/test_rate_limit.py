"""One key's requests a minute, over HTTP, and what a caller without a key may cost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from mangum import Mangum

from celeriac.http.app import create_app
from celeriac.http.routes import health
from celeriac.settings import Settings
from celeriac.storage import requests as requests_module
from celeriac.storage.keys import Scope, generate
from celeriac.storage.services import services
from tests.integration.api.conftest import Api, problem
from tests.integration.api.throwaway import CATALOGUE
from tests.unit.engine.meter import metered

LIMIT = 3
CLAIM = "custom:tenant"
EVENTS = Path(__file__).parent / "events"


class Timer:
    """A minute that lasts until the test ends it."""

    def __init__(self) -> None:
        self.now = 1_800_000_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def timer(monkeypatch: pytest.MonkeyPatch, aws: Settings) -> Timer:
    timer = Timer()
    monkeypatch.setattr(services().requests, "_now", timer)
    return timer


@pytest.fixture
def settings(aws: Settings, timer: Timer) -> Settings:
    return aws.model_copy(update={"requests_per_key": LIMIT})


@pytest.fixture
def limited(settings: Settings) -> Api:
    """A caller of an API with a limit."""
    return Api.of(create_app(settings, CATALOGUE))


def test_a_key_over_its_limit_is_told_when_to_come_back(limited: Api, timer: Timer) -> None:
    """429 with the rest of the minute, rounded up; then it is let through again."""
    for _ in range(LIMIT):
        assert limited.get("/tasks").status_code == 200
    timer.now += 14_999
    answer = limited.post("/tasks/greet", json={"name": "Ada"})
    document = problem(answer, 429, "too-many-requests")

    assert answer.headers["retry-after"] == "46"
    assert "At most 3 requests a minute" in document["detail"]
    assert "the key 'test'" in document["detail"]
    timer.now += 46_000
    assert limited.get("/tasks").json()["data"] == []


def test_the_limit_is_of_one_key(limited: Api) -> None:
    """Another key of the same tenant has its own; what needs no key isn't counted."""
    other = Api.of(limited.app, limited.tenant)
    for _ in range(2 * LIMIT):
        limited.get("/tasks")

    assert other.get("/tasks").status_code == 200
    for path in ("/health", "/problems", "/docs", "/openapi.json"):
        assert limited.get(path).status_code == 200


def test_a_refused_request_counts_as_one(settings: Settings) -> None:
    """Otherwise a caller that is only ever refused would have no limit."""
    reader = Api.of(create_app(settings, CATALOGUE), scopes=[Scope.READ])
    for _ in range(LIMIT):
        problem(reader.post("/tasks/greet", json={"name": "Ada"}), 403, "missing-scope")

    problem(reader.get("/tasks"), 429, "too-many-requests")


def test_the_body_of_a_request_over_the_limit_is_not_read(limited: Api) -> None:
    """It is refused before it costs more than the look at its key."""
    for _ in range(LIMIT):
        limited.get("/tasks")

    problem(limited.post("/tasks/greet", content=b"{ not json"), 429, "too-many-requests")


def test_a_batch_is_one_request(limited: Api) -> None:
    """As the documentation says."""
    items = {"items": [{"payload": {"name": str(each)}} for each in range(10)]}
    for _ in range(LIMIT):
        answer = limited.post("/tasks/greet/batch", json=items)
        assert [each["status"] for each in answer.json()["data"]] == [202] * 10

    problem(limited.post("/tasks/greet/batch", json=items), 429, "too-many-requests")


def test_without_a_limit_no_request_is_counted(api: Api) -> None:
    """The default costs no write."""
    api.get("/tasks")
    with metered() as bill:
        for _ in range(3):
            assert api.get("/tasks").status_code == 200
        assert bill.units == {}


def refused(code: str) -> ClientError:
    answer: Any = {"Error": {"Code": code, "Message": ""}, "ResponseMetadata": {}}
    return ClientError(answer, "UpdateItem")


@pytest.mark.parametrize(
    "error",
    [
        refused("ProvisionedThroughputExceededException"),
        refused("ThrottlingException"),
        EndpointConnectionError(endpoint_url="https://dynamodb"),
    ],
    ids=["throughput", "throttling", "unreachable"],
)
def test_while_dynamodb_cannot_count_everybody_is_let_through(
    limited: Api, error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """An outage of the counter isn't one of the API. The log has it."""

    def fail(*_: object) -> bool:
        raise error

    monkeypatch.setattr(requests_module.Requests, "_count", fail)
    for _ in range(2 * LIMIT):
        assert limited.get("/tasks").status_code == 200
    assert "requests aren't counted" in caplog.text


def test_a_missing_right_to_count_is_an_error(
    limited: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deployment without the grant must not seem to have a limit."""

    def fail(*_: object) -> bool:
        raise refused("AccessDeniedException")

    monkeypatch.setattr(requests_module.Requests, "_count", fail)
    problem(limited.get("/tasks"), 500, "internal")


Invoke = Callable[..., dict[str, Any]]


@pytest.fixture
def invoke(settings: Settings) -> Iterator[Invoke]:
    """List tasks behind an authorizer, as the subject and tenant that a token names."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    tokens = settings.model_copy(
        update={"token_tenant_claim": CLAIM, "token_scope_prefix": "tasks/"}
    )
    handler: Any = Mangum(create_app(tokens, CATALOGUE), lifespan="off")

    def call(**claims: str) -> dict[str, Any]:
        event = json.loads((EVENTS / "list-token.json").read_text("utf-8"))
        found = event["requestContext"]["authorizer"]["jwt"]["claims"]
        found.pop("sub", None)
        found |= claims
        answer: dict[str, Any] = handler(event, None)
        return answer

    yield call
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    asyncio.set_event_loop(None)


def test_a_token_counts_for_its_tenants_subject(invoke: Invoke) -> None:
    """New tokens of the same subject share a limit; another subject or tenant has its own."""
    acme = {CLAIM: f"acme-{generate()[-8:].lower()}"}
    for each in range(LIMIT):
        assert invoke(**acme, sub="ada", jti=str(each))["statusCode"] == 200

    over = invoke(**acme, sub="ada", jti="new")
    assert over["statusCode"] == 429
    assert int(over["headers"]["retry-after"]) > 0
    assert invoke(**acme, sub="bob")["statusCode"] == 200
    assert invoke(**{CLAIM: f"{acme[CLAIM]}-2"}, sub="ada")["statusCode"] == 200


def test_a_token_without_a_subject_counts_for_its_tenant(invoke: Invoke) -> None:
    """No token is without a limit."""
    acme = {CLAIM: f"acme-{generate()[-8:].lower()}"}

    assert [invoke(**acme)["statusCode"] for _ in range(LIMIT + 1)] == [200] * LIMIT + [429]


def test_a_wrong_key_is_looked_up_once_in_a_while(api: Api) -> None:
    """Its caller can't make the API ask DynamoDB for each request."""
    wrong = Api(api.app, api.tenant, generate())
    with metered() as bill:
        for _ in range(20):
            problem(wrong.get("/tasks"), 401, "unauthorized")
        assert bill.requests == {"dynamodb:GetItem": 1}


@pytest.mark.parametrize("key", ["x", "sk_live_1234", "eyJhbGciOiJub25lIn0.eyJ9.", "CEL_x"])
def test_what_no_key_looks_like_is_not_looked_up(api: Api, key: str) -> None:
    """Another service's key or token, or a guess."""
    with metered() as bill:
        problem(Api(api.app, api.tenant, key).get("/tasks"), 401, "unauthorized")
        assert bill.requests == {}


def test_readiness_asks_aws_once_however_many_ask(api: Api, monkeypatch: Any) -> None:
    """Even all at once; some seconds later it is asked again."""
    now = [1000.0]
    monkeypatch.setattr(health, "monotonic", lambda: now[0])
    health.forget()

    async def many() -> list[httpx.Response]:
        transport = httpx.ASGITransport(api.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            return await asyncio.gather(*(client.get("/health/ready") for _ in range(20)))

    asked = {"dynamodb:GetItem": 1, "s3:HeadBucket": 1, "sqs:GetQueueAttributes": 1}
    with metered() as bill:
        assert {answer.status_code for answer in asyncio.run(many())} == {200}
        assert bill.requests == asked
        now[0] += health.KEPT.total_seconds() - 0.1
        api.get("/health/ready")
        assert bill.requests == asked
        now[0] += 0.2
        api.get("/health/ready")
        assert bill.requests == dict.fromkeys(asked, 2)
    health.forget()


def test_readiness_remembers_a_failure_as_well(api: Api) -> None:
    """A table that is missing isn't asked for with each request."""
    broken = api.on(create_app(Settings(table_name="elsewhere"), CATALOGUE))
    with metered() as bill:
        for _ in range(5):
            document = problem(broken.get("/health/ready"), 503, "unavailable")
            assert document["checks"]["dynamodb"] == "failed"
        assert bill.requests["dynamodb:GetItem"] == 1
