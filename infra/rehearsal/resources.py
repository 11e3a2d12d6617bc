"""Resource types that moto's CloudFormation lacks, each made by the call that makes it on AWS.

They call the very server they run in, so that what they make can be read back by its own API.
Left out is S3's BucketPolicy: moto obeys it, and ours refuses plain HTTP, which is
all there is here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import boto3
from moto.core.common_models import CloudFormationModel

Properties = Mapping[str, Any]
# A resource's physical id, and the attributes that Fn::GetAtt may ask for.
Made = tuple[str, Mapping[str, str]]


def _policy(properties: Properties) -> str:
    return json.dumps(properties["PolicyDocument"])


def _queue_policy(client: Any, properties: Properties) -> Made:
    for url in properties["Queues"]:
        client.set_queue_attributes(QueueUrl=url, Attributes={"Policy": _policy(properties)})
    return "queue-policy", {}


def _topic_policy(client: Any, properties: Properties) -> Made:
    for arn in properties["Topics"]:
        client.set_topic_attributes(
            TopicArn=arn, AttributeName="Policy", AttributeValue=_policy(properties)
        )
    return "topic-policy", {}


def _schedule_group(client: Any, properties: Properties) -> Made:
    made = client.create_schedule_group(Name=properties["Name"])
    return properties["Name"], {"Arn": made["ScheduleGroupArn"]}


def _schedule(client: Any, properties: Properties) -> Made:
    client.create_schedule(**properties)
    return properties["Name"], {}


def _alarm(client: Any, properties: Properties) -> Made:
    wanted = {key: value for key, value in properties.items() if key != "Tags"}
    client.put_metric_alarm(**wanted)
    (made,) = client.describe_alarms(AlarmNames=[wanted["AlarmName"]])["MetricAlarms"]
    return made["AlarmName"], {"Arn": made["AlarmArn"]}


def _scalable_target(client: Any, properties: Properties) -> Made:
    place = {
        key: properties[key] for key in ("ServiceNamespace", "ResourceId", "ScalableDimension")
    }
    client.register_scalable_target(
        **place,
        MinCapacity=int(properties["MinCapacity"]),
        MaxCapacity=int(properties["MaxCapacity"]),
    )
    # A policy finds its target by the target's id, which holds the three.
    return "|".join((place["ResourceId"], place["ScalableDimension"], "ecs")), {}


def _scaling_policy(client: Any, properties: Properties) -> Made:
    resource, dimension, namespace = properties["ScalingTargetId"].split("|")
    wanted = {
        key: value for key, value in properties.items() if key not in ("ScalingTargetId", "Tags")
    }
    made = client.put_scaling_policy(
        ResourceId=resource, ScalableDimension=dimension, ServiceNamespace=namespace, **wanted
    )
    return made["PolicyARN"], {}


def _budget(client: Any, properties: Properties) -> Made:
    budget = dict(properties["Budget"])
    budget["BudgetLimit"] = {key: str(value) for key, value in budget["BudgetLimit"].items()}
    client.create_budget(
        AccountId=boto3.client("sts").get_caller_identity()["Account"], Budget=budget
    )
    return budget["BudgetName"], {}


def _identity(client: Any, properties: Properties) -> Made:
    client.create_email_identity(EmailIdentity=properties["EmailIdentity"])
    return properties["EmailIdentity"], {}


def _configuration_set(client: Any, properties: Properties) -> Made:
    names = {"Name": "ConfigurationSetName"}
    client.create_configuration_set(
        **{names.get(key, key): value for key, value in properties.items() if key != "Tags"}
    )
    return properties["Name"], {}


def _event_destination(client: Any, properties: Properties) -> Made:
    # moto has the older interface's call alone.
    client.create_configuration_set_event_destination(
        ConfigurationSetName=properties["ConfigurationSetName"],
        EventDestination={
            "Name": properties["EventDestination"]["Name"],
            "Enabled": properties["EventDestination"]["Enabled"],
            "MatchingEventTypes": properties["EventDestination"]["MatchingEventTypes"],
            "SNSDestination": properties["EventDestination"]["SnsDestination"],
        },
    )
    return properties["EventDestination"]["Name"], {}


def _subscription(client: Any, properties: Properties) -> Made:
    made = client.subscribe(
        TopicArn=properties["TopicArn"],
        Protocol=properties["Protocol"],
        Endpoint=properties["Endpoint"],
        Attributes={"RedrivePolicy": json.dumps(properties["RedrivePolicy"])},
    )
    return made["SubscriptionArn"], {}


def _event_invoke_config(client: Any, properties: Properties) -> Made:
    client.put_function_event_invoke_config(**properties)
    return f"{properties['FunctionName']}|{properties['Qualifier']}", {}


def _api(client: Any, properties: Properties) -> Made:
    made = client.create_api(Name=properties["Name"], ProtocolType=properties["ProtocolType"])
    return made["ApiId"], {"ApiEndpoint": made["ApiEndpoint"], "ApiId": made["ApiId"]}


def _integration(client: Any, properties: Properties) -> Made:
    made = client.create_integration(
        ApiId=properties["ApiId"],
        IntegrationType=properties["IntegrationType"],
        IntegrationUri=properties["IntegrationUri"],
        PayloadFormatVersion=properties["PayloadFormatVersion"],
    )
    return made["IntegrationId"], {}


def _route(client: Any, properties: Properties) -> Made:
    made = client.create_route(
        ApiId=properties["ApiId"], RouteKey=properties["RouteKey"], Target=properties["Target"]
    )
    return made["RouteId"], {}


def _stage(client: Any, properties: Properties) -> Made:
    client.create_stage(ApiId=properties["ApiId"], StageName=properties["StageName"])
    return properties["StageName"], {}


# CloudFormation's type, boto3's service, how one is made.
_TYPES: Mapping[str, tuple[str, Callable[[Any, Properties], Made]]] = {
    "AWS::ApiGatewayV2::Api": ("apigatewayv2", _api),
    "AWS::ApiGatewayV2::Integration": ("apigatewayv2", _integration),
    "AWS::ApiGatewayV2::Route": ("apigatewayv2", _route),
    "AWS::ApiGatewayV2::Stage": ("apigatewayv2", _stage),
    "AWS::ApplicationAutoScaling::ScalableTarget": ("application-autoscaling", _scalable_target),
    "AWS::ApplicationAutoScaling::ScalingPolicy": ("application-autoscaling", _scaling_policy),
    "AWS::Budgets::Budget": ("budgets", _budget),
    "AWS::CloudWatch::Alarm": ("cloudwatch", _alarm),
    "AWS::Lambda::EventInvokeConfig": ("lambda", _event_invoke_config),
    "AWS::SES::ConfigurationSet": ("sesv2", _configuration_set),
    "AWS::SES::ConfigurationSetEventDestination": ("ses", _event_destination),
    "AWS::SES::EmailIdentity": ("sesv2", _identity),
    "AWS::SNS::Subscription": ("sns", _subscription),
    "AWS::SNS::TopicPolicy": ("sns", _topic_policy),
    "AWS::SQS::QueuePolicy": ("sqs", _queue_policy),
    "AWS::Scheduler::Schedule": ("scheduler", _schedule),
    "AWS::Scheduler::ScheduleGroup": ("scheduler", _schedule_group),
}


def _model(type_name: str, service: str, make: Callable[[Any, Properties], Made]) -> type:
    class Model(CloudFormationModel):
        def __init__(self, physical_id: str, attributes: Mapping[str, str]) -> None:
            self.physical_resource_id = physical_id
            self._attributes = attributes

        @staticmethod
        def cloudformation_name_type() -> str:
            return ""

        @staticmethod
        def cloudformation_type() -> str:
            return type_name

        @classmethod
        def has_cfn_attr(cls, attr: str) -> bool:
            return attr in ("Arn", "ApiEndpoint", "ApiId")

        def get_cfn_attribute(self, attribute_name: str) -> str:
            return self._attributes[attribute_name]

        @classmethod
        def create_from_cloudformation_json(
            cls,
            resource_name: str,
            cloudformation_json: dict[str, Any],
            account_id: str,
            region_name: str,
            **kwargs: Any,
        ) -> Model:
            client: Any = boto3.client(service)  # type: ignore[call-overload]
            return cls(*make(client, cloudformation_json["Properties"]))

    Model.__name__ = Model.__qualname__ = type_name.replace("::", "")
    return Model


MODELS = [_model(name, *how) for name, how in _TYPES.items()]
