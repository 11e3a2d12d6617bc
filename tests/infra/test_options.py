"""Fields of ``Environment`` that reach what is deployed, and those that are refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from celeriac.cdk import WarmThroughput
from infra.cdk.environments import DEV
from tests.infra.conftest import Synthesize, Synthesized


@pytest.fixture(scope="module")
def chosen(synthesize: Synthesize) -> Synthesized:
    return synthesize(
        replace(
            DEV,
            settings={"log_level": "WARNING", "longest_wait": timedelta(seconds=10)},
            egress_ports=(5432, 6379),
            warm_throughput=WarmThroughput(write_units=20_000),
        )
    )


def test_any_setting_reaches_the_function_and_the_workers(chosen: Synthesized) -> None:
    """As the variables that docs/settings.md lists."""
    wanted = {"CELERIAC_LOG_LEVEL": "WARNING", "CELERIAC_LONGEST_WAIT": "PT10S"}
    for function in chosen.properties("api", "AWS::Lambda::Function"):
        assert wanted.items() <= function["Environment"]["Variables"].items()
    for definition in chosen.properties("workers", "AWS::ECS::TaskDefinition"):
        (container,) = definition["ContainerDefinitions"]
        variables = {each["Name"]: each["Value"] for each in container["Environment"]}
        assert wanted.items() <= variables.items()


def test_workers_may_call_the_ports_that_are_named_and_no_others(chosen: Synthesized) -> None:
    """Postgres and Redis besides HTTPS; nothing comes in."""
    (group,) = [
        each
        for each in chosen.properties("workers", "AWS::EC2::SecurityGroup")
        if each["GroupDescription"].startswith("Workers")
    ]
    assert sorted(each["ToPort"] for each in group["SecurityGroupEgress"]) == [443, 5432, 6379]
    assert "SecurityGroupIngress" not in group


def test_the_table_and_its_indexes_are_warm_from_the_start(
    chosen: Synthesized, synthesize: Synthesize
) -> None:
    """All of them: a cold index throttles the writes of its table."""
    (table,) = chosen.properties("data", "AWS::DynamoDB::Table")
    wanted = {"ReadUnitsPerSecond": 12_000, "WriteUnitsPerSecond": 20_000}
    places = [table, *table["GlobalSecondaryIndexes"]]

    assert len(places) > 1
    assert [each["WarmThroughput"] for each in places] == [wanted] * len(places)
    (usual,) = synthesize(DEV).properties("data", "AWS::DynamoDB::Table")
    assert "WarmThroughput" not in usual


@pytest.mark.parametrize("values", [{"read_units": 11_999}, {"write_units": 3_999}])
def test_a_throughput_below_a_new_tables_is_refused(values: dict[str, int]) -> None:
    """DynamoDB would refuse it in the middle of a deployment."""
    with pytest.raises(ValueError, match="Leave it out, or give more"):
        WarmThroughput(**values)


@pytest.mark.parametrize(
    ("field", "fault"),
    [
        ({"settings": {"log_levle": "INFO"}}, "no setting 'log_levle'"),
        ({"settings": {"table_name": "mine"}}, "'table_name' is what the deployment itself makes"),
        ({"settings": {"record_ttl": timedelta(days=1)}}, "'record_ttl' is what"),
        ({"egress_ports": (0,)}, "0, which is no TCP port"),
        ({"egress_ports": (5432, 65536)}, "65536, which is no TCP port"),
        ({"idle": timedelta(minutes=5)}, "a multiple of 0:02:00"),
        ({"idle": timedelta(0)}, "a multiple of 0:02:00"),
        ({"idle": timedelta(seconds=150)}, "a multiple of 0:02:00"),
    ],
)
def test_what_cannot_be_deployed_is_refused_by_name(field: dict[str, Any], fault: str) -> None:
    """Before the CDK begins, with the field and what to write."""
    with pytest.raises(ValueError, match=fault):
        replace(DEV, **field)


def test_a_dead_letter_outlives_its_queues_messages(chosen: Synthesized) -> None:
    """SQS counts its age from the first sending; only its queue's lanes may set messages aside."""
    queues = chosen.template("data")["Resources"]
    for resource in queues.values():
        properties = resource.get("Properties", {})
        if resource["Type"] != "AWS::SQS::Queue" or "RedrivePolicy" not in properties:
            continue
        target = properties["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]
        dead_letters = queues[target]["Properties"]
        kept = (properties["MessageRetentionPeriod"], dead_letters["MessageRetentionPeriod"])
        assert kept == (10 * 86_400, 14 * 86_400)
        allowed = dead_letters["RedriveAllowPolicy"]
        assert allowed["redrivePermission"] == "byQueue"
        sources = [each["Fn::Join"][1][-1] for each in allowed["sourceQueueArns"]]
        normal = properties["QueueName"].removesuffix("-high")
        assert sources == [f":{normal}", f":{normal}-high"]


def test_the_access_log_is_where_one_policy_serves_all(chosen: Synthesized) -> None:
    """CloudWatch's resource policies have a size that accounts with many log groups reach."""
    (name,) = [
        each["LogGroupName"]
        for each in chosen.properties("api", "AWS::Logs::LogGroup")
        if "vendedlogs" in each.get("LogGroupName", "")
    ]
    assert name == "/aws/vendedlogs/celeriac-dev/api-access"
