"""The DynamoDB table of task records."""

from __future__ import annotations

from aws_cdk import RemovalPolicy, aws_dynamodb, aws_kms
from constructs import Construct

from celeriac.cdk.options import WarmThroughput
from celeriac.topology import IndexShape, TableShape


def _string(name: str) -> aws_dynamodb.Attribute:
    return aws_dynamodb.Attribute(name=name, type=aws_dynamodb.AttributeType.STRING)


class TaskTable(Construct):
    """The table of a ``TableShape``, with its indexes.

    ``recoverable`` keeps every second of the last 35 days (point-in-time recovery). ``warm`` holds
    for the table and for each index: an index that can't follow throttles the table's writes.
    docs.aws.amazon.com/amazondynamodb/latest/developerguide/gsi-throttling.html
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
        warm: WarmThroughput | None = None,
        key: aws_kms.IKey | None = None,
    ) -> None:
        super().__init__(scope, id)
        self._shape = shape
        throughput = (
            aws_dynamodb.WarmThroughput(
                read_units_per_second=warm.read_units, write_units_per_second=warm.write_units
            )
            if warm
            else None
        )
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
            warm_throughput=throughput,
            # Another key is no replacement:
            # docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/
            # aws-resource-dynamodb-table.html#cfn-dynamodb-table-ssespecification
            encryption=aws_dynamodb.TableEncryption.CUSTOMER_MANAGED if key else None,
            encryption_key=key,
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
                warm_throughput=throughput,
            )

    @property
    def arns(self) -> list[str]:
        """The table and each of its indexes, for a policy."""
        return [self.table.table_arn, *self.index_arns]

    @property
    def index_arns(self) -> list[str]:
        """Each of its indexes, for a policy."""
        return [self.index_arn(index) for index in self._shape.indexes]

    def index_arn(self, index: IndexShape) -> str:
        """One of its indexes, for a policy."""
        return f"{self.table.table_arn}/index/{index.name}"
