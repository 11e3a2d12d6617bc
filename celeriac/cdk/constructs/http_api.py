"""The HTTP API in front of a Lambda function."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta

import jsii
from aws_cdk import (
    RemovalPolicy,
    Stack,
    aws_apigateway,
    aws_apigatewayv2,
    aws_apigatewayv2_authorizers,
    aws_apigatewayv2_integrations,
    aws_certificatemanager,
    aws_kms,
    aws_lambda,
    aws_logs,
    aws_route53,
    aws_route53_targets,
)
from constructs import Construct

from celeriac.cdk.convert import duration, retention
from celeriac.cdk.options import Domain, Jwt
from celeriac.origins import METHODS, PREFLIGHT_KEPT, REQUEST_HEADERS, RESPONSE_HEADERS

# Public paths of an API with a JWT authorizer: health, the meaning of problems, and the pages that
# a browser opens before it has a token.
PUBLIC_PATHS = (
    "/health",
    "/health/{proxy+}",
    "/problems",
    "/problems/{proxy+}",
    "/console",
    "/console/{proxy+}",
)
# Public too, where the API has a documentation.
DOCS_PATHS = ("/docs", "/docs/{proxy+}", "/openapi.json")

# No query string and no header: they may hold a caller's secrets.
_ACCESS_LOG = {
    "requestId": "$context.requestId",
    "requestTime": "$context.requestTime",
    "ip": "$context.identity.sourceIp",
    "method": "$context.httpMethod",
    "path": "$context.path",
    "status": "$context.status",
    "latency": "$context.responseLatency",
    "bytes": "$context.responseLength",
    "error": "$context.integrationErrorMessage",
}


@jsii.implements(aws_apigatewayv2.IAccessLogSettings)
class _AccessLog:
    """A line of JSON for each request."""

    def __init__(self, group: aws_logs.ILogGroup) -> None:
        self._destination = aws_apigatewayv2.LogGroupLogDestination(group)
        self._format = aws_apigateway.AccessLogFormat.custom(json.dumps(_ACCESS_LOG))

    @property
    def destination(self) -> aws_apigatewayv2.IAccessLogDestination:
        return self._destination

    @property
    def format(self) -> aws_apigateway.AccessLogFormat:
        return self._format


class HttpApi(Construct):
    """Functions behind an HTTP API: throttled, logged, on its own domain if it has one.

    ``functions`` answer a GET of their paths, and ``function`` the rest. Each may be an alias.
    With ``jwt``, every path but ``PUBLIC_PATHS``, and with ``docs`` ``DOCS_PATHS``, needs a token,
    which names the caller; without it, the function checks its own keys. ``web_origins`` are those
    of the web pages that may call the API.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        name: str,
        function: aws_lambda.IFunction,
        functions: Mapping[str, aws_lambda.IFunction],
        jwt: Jwt | None,
        domain: Domain | None,
        requests_per_second: int,
        burst: int,
        web_origins: Sequence[str],
        docs: bool,
        log_retention: timedelta,
        key: aws_kms.IKey | None = None,
    ) -> None:
        super().__init__(scope, id)
        integration = aws_apigatewayv2_integrations.HttpLambdaIntegration("Function", function)
        self.domain = self._domain(domain) if domain else None
        self.api = aws_apigatewayv2.HttpApi(
            self,
            "Api",
            api_name=name,
            create_default_stage=False,
            ip_address_type=aws_apigatewayv2.IpAddressType.DUAL_STACK,
            disable_execute_api_endpoint=domain is not None,
            cors_preflight=_cors(web_origins),
            default_integration=integration,
            default_authorizer=aws_apigatewayv2_authorizers.HttpJwtAuthorizer(
                "Jwt", jwt.issuer, jwt_audience=list(jwt.audience)
            )
            if jwt
            else None,
        )
        for place, (path, each) in enumerate(functions.items(), 1):
            self.api.add_routes(
                path=path,
                methods=[aws_apigatewayv2.HttpMethod.GET, aws_apigatewayv2.HttpMethod.HEAD],
                integration=aws_apigatewayv2_integrations.HttpLambdaIntegration(
                    f"Function{place}", each
                ),
            )
        if jwt:
            for path in (*PUBLIC_PATHS, *(DOCS_PATHS if docs else ())):
                self.api.add_routes(
                    path=path,
                    integration=integration,
                    authorizer=aws_apigatewayv2.HttpNoneAuthorizer(),
                )
        if jwt and web_origins:
            # The default route takes OPTIONS too, and would ask a browser's preflight for a token,
            # which it never has. The function answers it with a 200. API Gateway puts its own
            # headers there.
            # docs.aws.amazon.com/apigateway/latest/developerguide/http-api-cors.html
            self.api.add_routes(
                path="/{proxy+}",
                methods=[aws_apigatewayv2.HttpMethod.OPTIONS],
                integration=integration,
                authorizer=aws_apigatewayv2.HttpNoneAuthorizer(),
            )
        self.access_log = aws_logs.LogGroup(
            self,
            "AccessLog",
            # Under this prefix CloudWatch keeps one resource policy for all log groups, and no
            # account runs into the limit of their size:
            # docs.aws.amazon.com/AmazonCloudWatch/latest/logs/AWS-logs-and-resource-policy.html
            log_group_name=f"/aws/vendedlogs/{name}/api-access",
            retention=retention(log_retention),
            encryption_key=key,
            removal_policy=RemovalPolicy.DESTROY,
        )
        self.stage = aws_apigatewayv2.HttpStage(
            self,
            "Stage",
            http_api=self.api,
            stage_name="$default",
            auto_deploy=True,
            throttle=aws_apigatewayv2.ThrottleSettings(
                rate_limit=requests_per_second, burst_limit=burst
            ),
            access_log_settings=_AccessLog(self.access_log),
            domain_mapping=aws_apigatewayv2.DomainMappingOptions(domain_name=self.domain)
            if self.domain
            else None,
        )
        self.url = f"https://{domain.name}" if domain else self.api.api_endpoint
        self.host = domain.name if domain else _host(self.api)

    def _domain(self, domain: Domain) -> aws_apigatewayv2.DomainName:
        zone = aws_route53.HostedZone.from_hosted_zone_attributes(
            self, "Zone", zone_name=domain.zone_name, hosted_zone_id=domain.zone_id
        )
        made = aws_apigatewayv2.DomainName(
            self,
            "Domain",
            domain_name=domain.name,
            certificate=aws_certificatemanager.Certificate(
                self,
                "Certificate",
                domain_name=domain.name,
                validation=aws_certificatemanager.CertificateValidation.from_dns(zone),
            ),
            security_policy=aws_apigatewayv2.SecurityPolicy.TLS_1_2,
            ip_address_type=aws_apigatewayv2.IpAddressType.DUAL_STACK,
        )
        target = aws_route53.RecordTarget.from_alias(
            aws_route53_targets.ApiGatewayv2DomainProperties(
                made.regional_domain_name, made.regional_hosted_zone_id
            )
        )
        for kind in (aws_route53.ARecord, aws_route53.AaaaRecord):
            kind(
                self,
                kind.__name__,
                zone=zone,
                record_name=f"{domain.name}.",
                target=target,
            )
        return made


def _host(api: aws_apigatewayv2.HttpApi) -> str:
    """The name that AWS gives an API."""
    stack = Stack.of(api)
    return f"{api.api_id}.execute-api.{stack.region}.{stack.url_suffix}"


def _cors(web_origins: Sequence[str]) -> aws_apigatewayv2.CorsPreflightOptions | None:
    """What API Gateway tells browsers, in place of what the function says.

    docs.aws.amazon.com/apigateway/latest/developerguide/http-api-cors.html
    """
    if not web_origins:
        return None
    return aws_apigatewayv2.CorsPreflightOptions(
        allow_origins=[*web_origins],
        allow_methods=[aws_apigatewayv2.CorsHttpMethod[method] for method in METHODS],
        allow_headers=[*REQUEST_HEADERS],
        expose_headers=[*RESPONSE_HEADERS],
        max_age=duration(PREFLIGHT_KEPT),
    )
