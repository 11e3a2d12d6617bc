"""The HTTP API in front of a Lambda function."""

from __future__ import annotations

import json
from datetime import timedelta

import jsii
from aws_cdk import (
    RemovalPolicy,
    aws_apigateway,
    aws_apigatewayv2,
    aws_apigatewayv2_authorizers,
    aws_apigatewayv2_integrations,
    aws_certificatemanager,
    aws_lambda,
    aws_logs,
    aws_route53,
    aws_route53_targets,
)
from constructs import Construct

from infra.cdk.durations import retention
from infra.cdk.environments import Domain, Jwt

# Asked without a token where a JWT authorizer stands before the rest: health, what problems mean,
# and the pages that a browser opens before anyone has signed in.
PUBLIC_PATHS = (
    "/health",
    "/health/{proxy+}",
    "/problems",
    "/problems/{proxy+}",
    "/docs",
    "/openapi.json",
    "/console",
    "/console/{proxy+}",
)

# No query string and no header: they may hold what a caller wouldn't want to read in a log.
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
    """One function behind an HTTP API: throttled, logged, on its own domain if it has one.

    ``function`` may be an alias. With ``jwt``, a token is asked for everywhere but on
    ``PUBLIC_PATHS``, and the function takes the caller from it; without, it checks its own keys.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        name: str,
        function: aws_lambda.IFunction,
        jwt: Jwt | None,
        domain: Domain | None,
        requests_per_second: int,
        burst: int,
        log_retention: timedelta,
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
            default_integration=integration,
            default_authorizer=aws_apigatewayv2_authorizers.HttpJwtAuthorizer(
                "Jwt", jwt.issuer, jwt_audience=list(jwt.audience)
            )
            if jwt
            else None,
        )
        if jwt:
            for path in PUBLIC_PATHS:
                self.api.add_routes(
                    path=path,
                    integration=integration,
                    authorizer=aws_apigatewayv2.HttpNoneAuthorizer(),
                )
        self.access_log = aws_logs.LogGroup(
            self,
            "AccessLog",
            retention=retention(log_retention),
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
