"""``celeriac worker --check`` says whether a worker would work, and touches nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from botocore.exceptions import ClientError

from celeriac.app.factory import celery_app
from celeriac.contract import catalogue
from celeriac.settings import Settings
from celeriac.storage.services import services
from celeriac.worker import check as module
from celeriac.worker.__main__ import main
from celeriac.worker.check import check

NO_PATIENCE = timedelta(0)
QUEUES = [each.name for each in catalogue().queues]

pytestmark = pytest.mark.usefixtures("aws")


def test_a_worker_that_would_work_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """With what it would serve."""
    assert check(celery_app(), QUEUES, NO_PATIENCE) == 0
    assert "5 task types, default, email, files" in capsys.readouterr().out


def test_no_message_is_taken_and_none_is_counted() -> None:
    """A message that waits keeps its count of receives: SQS dead-letters at a limit of them."""
    sqs = services().sqs
    url = services().settings.queue_url_prefix + "default"
    sqs.send_message(QueueUrl=url, MessageBody="{}")
    assert check(celery_app(), ["default"], NO_PATIENCE) == 0
    (message,) = sqs.receive_message(
        QueueUrl=url, MessageSystemAttributeNames=["ApproximateReceiveCount"]
    )["Messages"]
    assert message["Attributes"]["ApproximateReceiveCount"] == "1"
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


@pytest.mark.parametrize(
    ("setting", "value", "says"),
    [
        ("queue_url_prefix", "http://127.0.0.1:5000/123456789012/none-", "SQS, queue default"),
        ("table_name", "none", "DynamoDB: "),
        ("bucket_name", "no-such-bucket", "S3: "),
    ],
)
def test_what_is_missing_is_named(
    setting: str, value: str, says: str, capsys: pytest.CaptureFixture[str], aws: Settings
) -> None:
    """The service, and AWS's own words."""
    its = services()
    wrong = aws.model_copy(update={setting: value})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "services", lambda: replace(its, settings=wrong))
        assert check(celery_app(), ["default"], NO_PATIENCE) == 1
    assert capsys.readouterr().err.startswith(says)


def test_a_right_that_is_not_in_force_yet_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new role's policy takes some seconds; a right that never comes is the fault in the end."""
    refusals = [3]
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)

    def refuse(*_: object) -> None:
        if refusals[0]:
            refusals[0] -= 1
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "GetItem")

    monkeypatch.setattr(services().records, "get", refuse)
    assert check(celery_app(), ["default"], timedelta(minutes=1)) == 0
    assert len(waits) == 3
    refusals[0] = 1000
    assert check(celery_app(), ["default"], NO_PATIENCE) == 1


def test_a_wrong_option_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """And starts no worker."""
    assert main(["--chekc"]) == 2
    assert "There is no option --chekc" in capsys.readouterr().err
