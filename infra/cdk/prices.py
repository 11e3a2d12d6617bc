"""What AWS charges, in US dollars: list prices of us-east-1, Linux on ARM. Plain data.

For estimates on the dashboard and in ``bench``; the bill is AWS's. Compare them with
aws.amazon.com/fargate/pricing and the pages of the other services before you publish a figure.
"""

from __future__ import annotations

from dataclasses import dataclass

from tasks.contract import Queue

FARGATE_VCPU_HOUR = 0.03238
FARGATE_GIB_HOUR = 0.00356
# Spot's price moves; this is what it has mostly been below the list price.
SPOT_DISCOUNT = 0.7
IPV4_HOUR = 0.005

SQS_REQUEST = 0.40e-6
DYNAMODB_WRITE = 0.625e-6
DYNAMODB_READ = 0.125e-6
LAMBDA_REQUEST = 0.20e-6
LAMBDA_GIB_SECOND = 0.0000133334
HTTP_API_REQUEST = 1.00e-6
LOG_GB = 0.50


@dataclass(frozen=True, kw_only=True)
class TaskCost:
    """What one submitted task costs besides its worker's time.

    One message sent, a tenth of a receive and of a delete, three record writes and one of the
    listing index, one HTTP request answered in 50 ms by a function of 1 GiB, 2 KB of log lines.
    """

    messages: float = 1.2 * SQS_REQUEST
    records: float = 4 * DYNAMODB_WRITE
    http: float = HTTP_API_REQUEST + LAMBDA_REQUEST + 0.05 * LAMBDA_GIB_SECOND
    logs: float = 2e-6 * LOG_GB

    @property
    def total(self) -> float:
        return self.messages + self.records + self.http + self.logs


def worker_hour(queue: Queue, *, public_address: bool) -> float:
    """What one worker of a queue costs an hour, at its fleet's share of Spot."""
    fleet = queue.fleet
    list_price = (fleet.cpu * FARGATE_VCPU_HOUR + fleet.memory * FARGATE_GIB_HOUR) / 1024
    address = IPV4_HOUR if public_address else 0.0
    return list_price * (1 - fleet.spot * SPOT_DISCOUNT) + address
