"""The two lanes of a queue, with their dead-letter queue."""

from __future__ import annotations

from datetime import timedelta

from aws_cdk import RemovalPolicy, Stack, aws_kms, aws_sqs
from constructs import Construct

from celeriac.cdk.constructs.deployment_key import queue_encryption
from celeriac.cdk.convert import duration
from celeriac.topology import LONGEST_RETENTION, QueueShape

# A longer poll is repeated less often, so SQS's longest is the cheapest.
LONGEST_POLL = timedelta(seconds=20)


class TaskQueue(Construct):
    """The lanes of a ``QueueShape``, ``queue`` and ``high``, and ``dead_letter`` behind both."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        prefix: str,
        shape: QueueShape,
        removal_policy: RemovalPolicy,
        key: aws_kms.IKey | None = None,
    ) -> None:
        super().__init__(scope, id)
        self.shape = shape
        self.dead_letter = aws_sqs.Queue(
            self,
            "DeadLetter",
            queue_name=f"{prefix}-{shape.queue.dead_letter_name}",
            retention_period=duration(LONGEST_RETENTION),
            **queue_encryption(key),
            enforce_ssl=True,
            removal_policy=removal_policy,
            # No other queue of the account can set messages aside here.
            redrive_allow_policy=aws_sqs.RedriveAllowPolicy(
                redrive_permission=aws_sqs.RedrivePermission.BY_QUEUE,
                source_queues=[
                    aws_sqs.Queue.from_queue_arn(
                        self,
                        id,
                        Stack.of(self).format_arn(service="sqs", resource=f"{prefix}-{lane}"),
                    )
                    for id, lane in zip(("Source", "HighSource"), shape.lanes, strict=True)
                ],
            ),
        )
        self.queue, self.high = (
            self._lane(id, f"{prefix}-{lane}", removal_policy, key)
            for id, lane in zip(("Queue", "High"), shape.lanes, strict=True)
        )

    @property
    def lane_arns(self) -> list[str]:
        """The ARNs of both lanes, normal and high."""
        return [self.queue.queue_arn, self.high.queue_arn]

    def _lane(
        self, id: str, name: str, removal_policy: RemovalPolicy, key: aws_kms.IKey | None
    ) -> aws_sqs.Queue:
        shape = self.shape
        return aws_sqs.Queue(
            self,
            id,
            queue_name=name,
            visibility_timeout=duration(shape.visibility),
            receive_message_wait_time=duration(LONGEST_POLL),
            retention_period=duration(shape.retention),
            dead_letter_queue=aws_sqs.DeadLetterQueue(
                queue=self.dead_letter, max_receive_count=shape.max_receives
            ),
            **queue_encryption(key),
            enforce_ssl=True,
            removal_policy=removal_policy,
        )
