"""One SQS queue with its dead-letter queue."""

from __future__ import annotations

from datetime import timedelta

from aws_cdk import RemovalPolicy, aws_sqs
from constructs import Construct

from celeriac.topology import LONGEST_RETENTION, QueueShape
from infra.cdk.durations import duration

# A poll that waits is a poll that isn't repeated: the longest that SQS offers is the cheapest.
LONGEST_POLL = timedelta(seconds=20)


class TaskQueue(Construct):
    """The SQS queue of a ``QueueShape`` and the dead-letter queue behind it."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        prefix: str,
        shape: QueueShape,
        removal_policy: RemovalPolicy,
    ) -> None:
        super().__init__(scope, id)
        self.shape = shape
        self.dead_letter = aws_sqs.Queue(
            self,
            "DeadLetter",
            queue_name=f"{prefix}-{shape.queue.dead_letter_name}",
            retention_period=duration(LONGEST_RETENTION),
            encryption=aws_sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            removal_policy=removal_policy,
        )
        self.queue = aws_sqs.Queue(
            self,
            "Queue",
            queue_name=f"{prefix}-{shape.queue.queue_name}",
            visibility_timeout=duration(shape.visibility),
            receive_message_wait_time=duration(LONGEST_POLL),
            retention_period=duration(shape.retention),
            dead_letter_queue=aws_sqs.DeadLetterQueue(
                queue=self.dead_letter, max_receive_count=shape.max_receives
            ),
            encryption=aws_sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            removal_policy=removal_policy,
        )
