"""The DynamoDB table of task records."""

from __future__ import annotations

from aws_cdk import RemovalPolicy, aws_dynamodb
from constructs import Construct

from celeriac.topology import TableShape


def _string(name: str) -> aws_dynamodb.Attribute:
    return aws_dynamodb.Attribute(name=name, type=aws_dynamodb.AttributeType.STRING)


class TaskTable(Construct):
    """The table of a ``TableShape``, with its indexes.

    ``recoverable`` keeps every second of the last 35 days (point-in-time recovery).
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        name: str,
        shape: TableShape,
        recoverable: bool,
        deletion_protection: bool,
        removal_policy: RemovalPolicy,
    ) -> None:
        super().__init__(scope, id)
        self._shape = shape
        self.table = aws_dynamodb.Table(
            self,
            "Table",
            table_name=name,
            partition_key=_string(shape.partition_key),
            sort_key=_string(shape.sort_key),
            billing_mode=aws_dynamodb.BillingMode[shape.billing],
            time_to_live_attribute=shape.ttl_attribute,
            point_in_time_recovery_specification=aws_dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=recoverable
            ),
            deletion_protection=deletion_protection,
            removal_policy=removal_policy,
        )
        for index in shape.indexes:
            self.table.add_global_secondary_index(
                index_name=index.name,
                partition_key=_string(index.partition_key),
                sort_key=_string(index.sort_key),
                projection_type=aws_dynamodb.ProjectionType.INCLUDE
                if index.projects
                else aws_dynamodb.ProjectionType.KEYS_ONLY,
                non_key_attributes=list(index.projects) or None,
            )

    @property
    def arns(self) -> list[str]:
        """The table and each of its indexes, for a policy."""
        table = self.table.table_arn
        return [table, *(f"{table}/index/{index.name}" for index in self._shape.indexes)]
