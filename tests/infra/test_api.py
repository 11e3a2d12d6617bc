"""The stack of the HTTP API."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from celeriac.cdk import output_id
from celeriac.cdk.deployment import DeploymentSettings
from celeriac.cdk.prices import FOLLOWING_MEMORY
from celeriac.settings import Settings
from infra.cdk.environments import DEV
from tests.infra.conftest import ROOT, Synthesize, Synthesized, as_list, statements

ON_ECS = Settings(cluster_name="celeriac-dev")


def test_the_function_is_arm_python_outside_the_vpc(dev: Synthesized) -> None:
    """Current Python on ARM, no VPC, a log group of its own that forgets."""
    function = dev.function
    logs = dev.template("api")["Resources"][function["LoggingConfig"]["LogGroup"]["Ref"]]

    assert function["Architectures"] == ["arm64"]
    assert function["Runtime"] == "python3.13"
    assert function["Handler"] == "api.handler.handler"
    assert "VpcConfig" not in function
    assert function["Timeout"] == 29
    assert logs["Properties"]["RetentionInDays"] == 7


def test_the_function_has_every_setting(dev: Synthesized) -> None:
    """The variables are those that ``Settings`` reads, no more and no fewer."""
    function = dev.function

    assert set(function["Environment"]["Variables"]) == set(ON_ECS.to_environment())
    assert function["Environment"]["Variables"]["CELERIAC_ENVIRONMENT"] == "dev"


def test_the_shell_that_deploys_does_not_leak_into_the_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A variable of the same name on the deploying machine changes nothing in the template."""
    monkeypatch.setenv("CELERIAC_LOG_LEVEL", "DEBUG")

    assert DeploymentSettings().log_level == "INFO"


def test_every_setting_is_an_output(dev: Synthesized) -> None:
    """The stack's outputs are enough to run the API or a worker anywhere."""
    outputs = dev.template("api")["Outputs"]

    assert "ApiUrl" in outputs
    for variable in ON_ECS.to_environment():
        assert output_id(variable) in outputs


def test_requests_are_throttled_and_logged(dev: Synthesized) -> None:
    """The stage has a rate, a burst and an access log without query strings or headers."""
    stage = dev.one("api", "AWS::ApiGatewayV2::Stage")

    assert stage["DefaultRouteSettings"]["ThrottlingRateLimit"] == 50
    assert stage["DefaultRouteSettings"]["ThrottlingBurstLimit"] == 100
    [group, _] = stage["AccessLogSettings"]["DestinationArn"]["Fn::GetAtt"]
    log = dev.template("api")["Resources"][group]
    assert log["Properties"]["RetentionInDays"] == dev.environment.log_retention.days
    assert log["DeletionPolicy"] == "Delete"
    line = json.loads(stage["AccessLogSettings"]["Format"])
    assert line["requestId"] == "$context.requestId"
    assert not any("header" in value or "query" in value.lower() for value in line.values())


def test_without_options_every_request_reaches_the_function(dev: Synthesized) -> None:
    """No authorizer: the functions check their own keys, and one is for those who follow."""
    routes = dev.properties("api", "AWS::ApiGatewayV2::Route")

    assert sorted(each["RouteKey"] for each in routes) == [
        "$default",
        "GET /tasks/{task_id}",
        "HEAD /tasks/{task_id}",
    ]
    assert {each["AuthorizationType"] for each in routes} == {"NONE"}
    assert dev.all("api", "AWS::ApiGatewayV2::Authorizer") == []
    assert dev.all("api", "AWS::ApiGatewayV2::DomainName") == []


def test_a_jwt_authorizer_reads_the_header_that_callers_send(with_options: Synthesized) -> None:
    """Issuer and audience are the environment's, and events are of the format that is read."""
    authorizer = with_options.one("api", "AWS::ApiGatewayV2::Authorizer")
    integrations = with_options.properties("api", "AWS::ApiGatewayV2::Integration")

    assert authorizer["AuthorizerType"] == "JWT"
    assert authorizer["IdentitySource"] == ["$request.header.Authorization"]
    assert authorizer["JwtConfiguration"] == {
        "Issuer": "https://login.celeriac.dev/",
        "Audience": ["tasks"],
    }
    assert {each["PayloadFormatVersion"] for each in integrations} == {"2.0"}


def test_the_function_is_told_what_tokens_say(dev: Synthesized, with_options: Synthesized) -> None:
    """Which claim is the tenant, and what scopes begin with; without tokens no claim counts."""
    taking = with_options.function["Environment"]["Variables"]
    variables = dev.function["Environment"]["Variables"]

    assert taking["CELERIAC_TOKEN_TENANT_CLAIM"] == "custom:tenant"
    assert taking["CELERIAC_TOKEN_SCOPE_PREFIX"] == "tasks/"
    assert "CELERIAC_TOKEN_TENANT_CLAIM" not in variables


def test_no_token_is_asked_for_where_no_key_is(with_options: Synthesized) -> None:
    """Each operation that needs no key has a public route; all others are the authorizer's."""
    routes = {
        each["RouteKey"]: each["AuthorizationType"]
        for each in with_options.properties("api", "AWS::ApiGatewayV2::Route")
    }
    public = {key.removeprefix("ANY ") for key, kind in routes.items() if kind == "NONE"}
    document = json.loads((ROOT / "docs" / "openapi.json").read_text())
    guarded = {
        path: any("security" in operation for operation in operations.values())
        for path, operations in document["paths"].items()
    }

    assert routes["$default"] == "JWT"
    assert {"/docs", "/openapi.json"} <= public
    assert {"/problems", "/problems/{slug}"} <= guarded.keys()
    for path, needs_key in guarded.items():
        greedy = re.sub(r"(?<=/)[^/]+$", "{proxy+}", path)
        assert (path in public or greedy in public) is not needs_key, path


def test_a_custom_domain_is_the_only_door(with_options: Synthesized) -> None:
    """The name leads to this API's stage, with a certificate, and AWS's own name is closed."""
    resources = with_options.template("api")["Resources"]
    assert with_options.one("api", "AWS::ApiGatewayV2::Api")["DisableExecuteApiEndpoint"] is True
    mapping = with_options.one("api", "AWS::ApiGatewayV2::ApiMapping")
    assert resources[mapping["DomainName"]["Ref"]]["Type"] == "AWS::ApiGatewayV2::DomainName"
    assert resources[mapping["ApiId"]["Ref"]]["Type"] == "AWS::ApiGatewayV2::Api"
    assert mapping["Stage"] == with_options.one("api", "AWS::ApiGatewayV2::Stage")["StageName"]
    assert "ApiMappingKey" not in mapping
    domain = with_options.one("api", "AWS::ApiGatewayV2::DomainName")
    assert domain["DomainName"] == "api.celeriac.dev"
    assert domain["DomainNameConfigurations"][0]["SecurityPolicy"] == "TLS_1_2"
    [certificate] = domain["DomainNameConfigurations"]
    assert resources[certificate["CertificateArn"]["Ref"]]["Type"] == (
        "AWS::CertificateManager::Certificate"
    )


def test_the_api_answers_over_both_address_families(
    dev: Synthesized, with_options: Synthesized
) -> None:
    """An AAAA record is worth something only where the domain has such an address."""
    for synthesized in (dev, with_options):
        assert synthesized.one("api", "AWS::ApiGatewayV2::Api")["IpAddressType"] == "dualstack"
    domain = with_options.one("api", "AWS::ApiGatewayV2::DomainName")
    records = with_options.properties("api", "AWS::Route53::RecordSet")

    assert domain["DomainNameConfigurations"][0]["IpAddressType"] == "dualstack"
    assert {each["Type"] for each in records} == {"A", "AAAA"}
    assert all(each["Name"] == "api.celeriac.dev." for each in records)


def test_snap_start_is_called_by_an_alias(dev: Synthesized, with_options: Synthesized) -> None:
    """SnapStart works on published versions, so the API calls the newest by its alias.

    The function that fires is called by its name, and nobody waits for it.
    """
    functions = [
        each
        for each in with_options.properties("api", "AWS::Lambda::Function")
        if not each["FunctionName"].endswith("-fire")
    ]
    integrations = with_options.properties("api", "AWS::ApiGatewayV2::Integration")
    aliases = {
        name
        for name, each in with_options.template("api")["Resources"].items()
        if each["Type"] == "AWS::Lambda::Alias"
    }

    assert len(functions) == len(aliases) == 2
    assert all(each["SnapStart"] == {"ApplyOn": "PublishedVersions"} for each in functions)
    assert {each["IntegrationUri"]["Ref"] for each in integrations} == aliases
    permissions = with_options.properties("api", "AWS::Lambda::Permission")
    assert permissions
    for each in permissions:
        assert each["FunctionName"]["Ref"] in aliases
        assert each["Principal"] == "apigateway.amazonaws.com"
    assert "SnapStart" not in dev.function


def test_the_api_may_wake_its_services_and_pass_one_role(dev: Synthesized) -> None:
    """Waking names each service; the only role it passes goes to the scheduler."""
    granted = {
        action: statement
        for statement in statements(dev.properties("api", "AWS::IAM::Policy"))
        for action in as_list(statement["Action"])
    }

    assert "service/celeriac-dev/default" in str(granted["ecs:UpdateService"]["Resource"])
    assert "*" not in str(granted["ecs:UpdateService"]["Resource"])
    assert granted["iam:PassRole"]["Condition"] == {
        "StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}
    }
    assert "dynamodb:Scan" not in granted


def test_following_has_a_function_of_its_own(dev: Synthesized) -> None:
    """The same code and rights with less memory: a poll holds it, and computes nothing."""
    follower = dev.one("api", "AWS::Lambda::Function", FunctionName="celeriac-dev-follow")
    for name in ("Code", "Handler", "Role", "Environment", "Timeout", "LoggingConfig"):
        assert follower[name] == dev.function[name]
    assert follower["MemorySize"] == FOLLOWING_MEMORY < dev.function["MemorySize"]
    assert "ReservedConcurrentExecutions" not in follower


def test_concurrency_can_be_reserved_for_each(synthesize: Synthesize) -> None:
    """Followers then take none from those who submit."""
    made = synthesize(replace(DEV, reserved_concurrency=100, following_concurrency=400))
    follower = made.one("api", "AWS::Lambda::Function", FunctionName="celeriac-dev-follow")
    assert made.function["ReservedConcurrentExecutions"] == 100
    assert follower["ReservedConcurrentExecutions"] == 400


def test_a_reservation_of_nothing_is_refused() -> None:
    """Lambda would refuse every call of the function."""
    with pytest.raises(ValueError, match="reserved_concurrency=0 refuses"):
        replace(DEV, reserved_concurrency=0)
    with pytest.raises(ValueError, match="following_concurrency=0 refuses"):
        replace(DEV, following_concurrency=0)
