"""What web pages, and callers without a key, may do with a deployment."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from celeriac.origins import METHODS, REQUEST_HEADERS, RESPONSE_HEADERS
from infra.cdk.environments import DEV
from tests.infra.conftest import OPTIONS, Synthesize, Synthesized, as_list, statements

PAGES = ("https://app.shop.net", "http://localhost:5173")


@pytest.fixture(scope="module")
def open_to_pages(synthesize: Synthesize) -> Synthesized:
    return synthesize(replace(DEV, web_origins=PAGES))


def test_no_page_is_let_in_unless_it_is_named(dev: Synthesized) -> None:
    """Neither by API Gateway nor by the bucket: no other customer's API is one of ours."""
    assert "CorsConfiguration" not in dev.one("api", "AWS::ApiGatewayV2::Api")
    assert "CorsConfiguration" not in dev.one("data", "AWS::S3::Bucket")


def test_api_gateway_lets_the_named_pages_call(open_to_pages: Synthesized) -> None:
    """With what the API reads and answers; no cookie goes with a request."""
    cors = open_to_pages.one("api", "AWS::ApiGatewayV2::Api")["CorsConfiguration"]

    assert cors == {
        "AllowOrigins": [*PAGES],
        "AllowMethods": [*METHODS],
        "AllowHeaders": [*REQUEST_HEADERS],
        "ExposeHeaders": [*RESPONSE_HEADERS],
        "MaxAge": 3600,
    }


def test_the_function_is_told_the_pages(open_to_pages: Synthesized) -> None:
    """API Gateway's default route passes a preflight on, and takes the function's 200 for it."""
    function = open_to_pages.function

    assert function["Environment"]["Variables"]["CELERIAC_WEB_ORIGINS"] == ",".join(PAGES)


def test_the_named_pages_upload_and_any_page_with_a_link_reads(open_to_pages: Synthesized) -> None:
    """After the API's redirect a browser names the page "null", so the link has to do."""
    cors = open_to_pages.one("data", "AWS::S3::Bucket")["CorsConfiguration"]["CorsRules"]

    assert {tuple(rule["AllowedMethods"]): rule["AllowedOrigins"] for rule in cors} == {
        ("POST",): [*PAGES],
        ("GET",): ["*"],
    }


def test_with_tokens_a_preflight_needs_none(synthesize: Synthesize) -> None:
    """OPTIONS has an open route of its own; everything else of the default route needs a token."""
    with_tokens = synthesize(replace(DEV, jwt=OPTIONS["jwt"], web_origins=PAGES))
    without_pages = synthesize(replace(DEV, jwt=OPTIONS["jwt"]))

    routes = with_tokens.properties("api", "AWS::ApiGatewayV2::Route")
    kinds = {each["RouteKey"]: each["AuthorizationType"] for each in routes}
    assert kinds["OPTIONS /{proxy+}"] == "NONE"
    assert kinds["$default"] == "JWT"
    assert all(each["Target"] for each in routes)
    assert "OPTIONS" not in json.dumps(without_pages.properties("api", "AWS::ApiGatewayV2::Route"))
    assert with_tokens.findings == []


@pytest.mark.parametrize("page", ["*", "null", "https://shop.net/", "http://shop.net", "shop.net"])
def test_a_page_that_no_browser_names_so_is_refused(page: str) -> None:
    """When the environment is written, with what to write instead."""
    with pytest.raises(ValueError, match=r"Environment\(name='dev'\): web_origins has '.*'\. "):
        replace(DEV, web_origins=(page,))


def test_a_limit_for_each_key_reaches_the_function(
    synthesize: Synthesize, dev: Synthesized
) -> None:
    """There is none unless it is asked for, since each request then costs a write."""
    limited = synthesize(replace(DEV, requests_per_key=600))
    variables = [each.function["Environment"]["Variables"] for each in (limited, dev)]

    assert variables[0]["CELERIAC_REQUESTS_PER_KEY"] == "600"
    assert "CELERIAC_REQUESTS_PER_KEY" not in variables[1]


def test_the_function_may_count(dev: Synthesized) -> None:
    """An UpdateItem of any item; test_permissions.py holds that no worker may."""
    role = dev.function["Role"]["Fn::GetAtt"][0]
    policies = dev.properties("api", "AWS::IAM::Policy")
    counting = [
        each
        for each in statements([each for each in policies if each["Roles"] == [{"Ref": role}]])
        if "dynamodb:UpdateItem" in as_list(each["Action"])
    ]
    assert counting
    assert all("Condition" not in each for each in counting)


@pytest.mark.parametrize("limit", [0, -1, 60_001])
def test_a_limit_that_cannot_be_counted_is_refused(limit: int) -> None:
    """The message says what it may be."""
    with pytest.raises(ValueError, match="from 1 to 60,000 a minute, or None"):
        replace(DEV, requests_per_key=limit)


QUOTAS = ("requests_per_tenant", "waiting_per_tenant", "mails_per_tenant")


def test_quotas_of_tenants_reach_the_function_and_are_off_by_default(
    synthesize: Synthesize, dev: Synthesized
) -> None:
    """Each costs a write, so there is none unless it is asked for."""
    quotas: dict[str, Any] = dict.fromkeys(QUOTAS, 600)
    limited = synthesize(replace(DEV, **quotas))
    variables = [each.function["Environment"]["Variables"] for each in (limited, dev)]

    for quota in QUOTAS:
        assert variables[0][f"CELERIAC_{quota.upper()}"] == "600"
        assert f"CELERIAC_{quota.upper()}" not in variables[1]


@pytest.mark.parametrize("quota", QUOTAS)
@pytest.mark.parametrize("limit", [0, -1, 10**9])
def test_a_quota_that_cannot_be_counted_is_refused(quota: str, limit: int) -> None:
    """The message names it, and says what it may be."""
    given: dict[str, Any] = {quota: limit}
    with pytest.raises(ValueError, match=rf"{quota}={limit} must be from 1 to .*, or None"):
        replace(DEV, **given)


@pytest.mark.parametrize("setting", ["web_origins", "requests_per_key", "docs", *QUOTAS])
def test_a_field_is_not_a_setting_as_well(setting: str) -> None:
    """Each is said in one place."""
    with pytest.raises(ValueError, match="a field of Environment"):
        replace(DEV, settings={setting: None})


def test_without_docs_nothing_lists_the_task_types_to_strangers(synthesize: Synthesize) -> None:
    """The function has no such page, and with tokens API Gateway has no open path to one."""
    closed = synthesize(replace(DEV, docs=False, jwt=OPTIONS["jwt"]))
    opened = synthesize(replace(DEV, jwt=OPTIONS["jwt"]))

    function = closed.function
    assert function["Environment"]["Variables"]["CELERIAC_DOCS"] == "false"
    documented = public_paths(opened) - public_paths(closed)
    assert documented == {"/docs", "/docs/{proxy+}", "/openapi.json"}
    assert {"/health", "/problems"} <= public_paths(closed)


def public_paths(synthesized: Synthesized) -> set[str]:
    """The paths that need no token."""
    return {
        each["RouteKey"].removeprefix("ANY ")
        for each in synthesized.properties("api", "AWS::ApiGatewayV2::Route")
        if each["AuthorizationType"] == "NONE"
    }
