"""SES's events, as SNS hands them to the API's function, in the task that sent the mail."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from fastapi import FastAPI

from celeriac import clock
from celeriac.http import lambda_handler
from celeriac.operations import mail_events
from celeriac.settings import Settings, settings
from celeriac.storage.mail_events import MOST_EVENTS, MailEvent, MailEventKind
from celeriac.storage.services import services
from tests.integration.api.conftest import Api, Worker

SET = "celeriac-shop"
JANE, JOHN = "jane@mail.net", "john@mail.net"
#: What a task without news of its mail answers with.
PLAIN = {"task_id", "status", "result", "links"}


@pytest.fixture(autouse=True)
def own_set(aws: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A deployment that sends through SES."""
    monkeypatch.setenv("CELERIAC_MAIL_CONFIGURATION_SET", SET)
    settings.cache_clear()
    yield
    monkeypatch.undo()
    settings.cache_clear()


@pytest.fixture
def receive(app: FastAPI, loop: None) -> Callable[[Any], None]:
    """Call the function as SNS does, with a message of any form."""
    handler = lambda_handler(app)

    def call(message: Any) -> None:
        text = message if isinstance(message, str) else json.dumps(message)
        # docs.aws.amazon.com/lambda/latest/dg/with-sns.html
        sns = {"Type": "Notification", "MessageId": "95df01b4-ee98", "Message": text}
        answer = handler({"Records": [{"EventSource": "aws:sns", "Sns": sns}]}, None)
        assert answer is None

    return call


def bounce(
    task_id: str,
    *recipients: str,
    at: str = "2026-11-25T12:00:00.000Z",
    diagnostic: str | None = "smtp; 550 5.1.1 user unknown",
    configuration_set: str = SET,
    subtype: str = "General",
) -> dict[str, Any]:
    """A bounce, as SES publishes it.

    docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-examples.html
    """
    return {
        "eventType": "Bounce",
        "bounce": {
            "feedbackId": "0100-feedback",
            "bounceType": "Permanent",
            "bounceSubType": subtype,
            "bouncedRecipients": [
                {
                    "emailAddress": each,
                    "action": "failed",
                    "status": "5.1.1",
                    **({"diagnosticCode": diagnostic} if diagnostic else {}),
                }
                for each in recipients or (JANE,)
            ],
            "timestamp": at,
            "reportingMTA": "dsn; mta.mail.net",
        },
        "mail": mail(task_id, configuration_set=configuration_set),
    }


def mail(task_id: str, *, configuration_set: str = SET) -> dict[str, Any]:
    return {
        "timestamp": "2026-11-25T11:59:00.000Z",
        "source": "post@shop.net",
        "messageId": "0100-ses",
        "destination": [JANE, JOHN],
        "headersTruncated": False,
        "headers": [{"name": "To", "value": JANE}],
        "tags": {
            "ses:configuration-set": [configuration_set],
            "ses:from-domain": ["shop.net"],
            "celeriac-task-id": [task_id],
        },
    }


def event(kind: str, task_id: str, **detail: Any) -> dict[str, Any]:
    return {"eventType": kind, **detail, "mail": mail(task_id)}


def item(task_id: str) -> dict[str, Any] | None:
    """What the task's news are kept in."""
    key = {"pk": {"S": f"task#{task_id}"}, "sk": {"S": "mail-events"}}
    table = services().settings.table_name
    found: Any = services().dynamodb.get_item(TableName=table, Key=key)
    return found.get("Item")  # type: ignore[no-any-return]


def test_a_bounce_is_seen_in_the_task_that_sent_the_mail(
    api: Api, worker: Worker, receive: Callable[[Any], None]
) -> None:
    """With recipient, reason and time; the task stays the SUCCESS that it is."""
    task_id = api.submit()
    worker.succeed(task_id, {"text": "sent"})
    before = api.get(f"/tasks/{task_id}")

    receive(bounce(task_id))

    after = api.get(f"/tasks/{task_id}", headers={"If-None-Match": before.headers["etag"]})
    assert after.status_code == 200
    assert after.headers["etag"] != before.headers["etag"]
    found = after.json()
    assert found.pop("mail") == {
        "bounced": [
            {
                "recipient": JANE,
                "type": "Permanent",
                "subtype": "General",
                "diagnostic": "smtp; 550 5.1.1 user unknown",
                "at": "2026-11-25T12:00:00Z",
            }
        ],
        "complained": [],
        "delayed": [],
        "rejected": [],
    }
    assert found == before.json()


def test_other_events_are_told_by_their_kind(api: Api, receive: Callable[[Any], None]) -> None:
    """A complaint, a delay, a mail that SES didn't send: to each recipient of it."""
    task_id = api.submit()
    when = "2026-11-25T12:00:00.000Z"

    receive(
        event(
            "Complaint",
            task_id,
            complaint={
                "complainedRecipients": [{"emailAddress": JANE}],
                "timestamp": when,
                "complaintSubType": None,
                "complaintFeedbackType": "abuse",
                "userAgent": "Example Feedback Loop (V0.01)",
            },
        )
    )
    receive(
        event(
            "DeliveryDelay",
            task_id,
            deliveryDelay={
                "timestamp": when,
                "delayType": "MailboxFull",
                "expirationTime": when,
                "delayedRecipients": [
                    {"emailAddress": JOHN, "status": "4.2.2", "diagnosticCode": "452 full"}
                ],
            },
        )
    )
    receive(event("Reject", task_id, reject={"reason": "Bad content"}))

    answer = api.get(f"/tasks/{task_id}").json()
    told = {
        kind: [(e["recipient"], e["type"], e["diagnostic"]) for e in events]
        for kind, events in answer["mail"].items()
    }
    assert told == {
        "bounced": [],
        "complained": [(JANE, "abuse", None)],
        "delayed": [(JOHN, "MailboxFull", "452 full")],
        "rejected": [(JANE, "Reject", "Bad content"), (JOHN, "Reject", "Bad content")],
    }
    assert answer["status"] == "PENDING"


def test_a_template_that_ses_could_not_fill_is_a_rejected_mail(
    api: Api, receive: Callable[[Any], None]
) -> None:
    """Of a task type that sends with SES's own templates."""
    task_id = api.submit()

    receive(
        event(
            "Rendering Failure",
            task_id,
            failure={"errorMessage": "Attribute 'name' is missing", "templateName": "Hello"},
        )
    )

    (first, _) = api.get(f"/tasks/{task_id}").json()["mail"]["rejected"]
    assert (first["type"], first["diagnostic"]) == (
        "Rendering Failure",
        "Attribute 'name' is missing",
    )


def test_an_event_that_comes_twice_is_kept_once(api: Api, receive: Callable[[Any], None]) -> None:
    """SNS delivers at least once: the second changes nothing, and not the entity tag either."""
    task_id = api.submit()
    receive(bounce(task_id))
    once = api.get(f"/tasks/{task_id}")

    receive(bounce(task_id))

    again = api.get(f"/tasks/{task_id}", headers={"If-None-Match": once.headers["etag"]})
    assert again.status_code == 304


def test_of_several_events_the_newest_counts(api: Api, receive: Callable[[Any], None]) -> None:
    """Of one kind and one recipient; SNS keeps no order. Other recipients are apart."""
    task_id = api.submit()

    receive(bounce(task_id, JANE, JOHN, diagnostic="second", at="2026-11-25T12:00:02Z"))
    receive(bounce(task_id, JANE, diagnostic="first", at="2026-11-25T12:00:01Z"))
    receive(bounce(task_id, JOHN, diagnostic="third", at="2026-11-25T12:00:03Z"))

    bounced = api.get(f"/tasks/{task_id}").json()["mail"]["bounced"]
    assert [(each["recipient"], each["diagnostic"]) for each in bounced] == [
        (JANE, "second"),
        (JOHN, "third"),
    ]


def test_a_call_that_broke_off_is_completed_by_the_next(
    api: Api, receive: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event was kept and the record didn't say so yet: Lambda's next try completes it."""
    task_id = api.submit()
    refusal: Any = {"Error": {"Code": "ThrottlingException", "Message": "slow down"}}

    def refused(*_: Any) -> None:
        raise ClientError(refusal, "UpdateItem")

    with monkeypatch.context() as patch:
        patch.setattr(services().records, "note_mail_events", refused)
        with pytest.raises(ClientError):
            receive(bounce(task_id))
    assert "mail" not in api.get(f"/tasks/{task_id}").json()

    receive(bounce(task_id))

    assert len(api.get(f"/tasks/{task_id}").json()["mail"]["bounced"]) == 1


def test_a_running_task_goes_on(api: Api, worker: Worker, receive: Callable[[Any], None]) -> None:
    """News of an earlier attempt's mail takes no lease from a later one."""
    task_id = api.submit()
    worker.claim(task_id)

    receive(bounce(task_id))
    assert api.get(f"/tasks/{task_id}").json()["status"] == "STARTED"
    worker.finish(task_id, {"text": "sent"})

    found = api.get(f"/tasks/{task_id}").json()
    assert (found["status"], found["result"]) == ("SUCCESS", {"text": "sent"})
    assert len(found["mail"]["bounced"]) == 1


def test_another_tenant_sees_nothing(
    api: Api, app: FastAPI, receive: Callable[[Any], None]
) -> None:
    """Recipients are as private as the task."""
    task_id = api.submit()
    receive(bounce(task_id))

    assert Api.of(app).get(f"/tasks/{task_id}").status_code == 404


def test_a_task_without_news_says_nothing_of_mail(api: Api) -> None:
    """The member is there for tasks that have it."""
    found = api.get(f"/tasks/{api.submit()}").json()

    assert found.keys() >= PLAIN
    assert "mail" not in found


def test_news_go_with_their_task(api: Api, receive: Callable[[Any], None]) -> None:
    """They expire when the record does, and a task whose news have gone is still answered for."""
    task_id = api.submit()
    receive(bounce(task_id))
    record, kept = services().records.get(task_id), item(task_id)
    assert record is not None
    assert kept is not None

    assert kept["expires_at"] == {"N": str(record.expires_at)}
    key = {"pk": kept["pk"], "sk": kept["sk"]}
    services().dynamodb.delete_item(TableName=services().settings.table_name, Key=key)
    found = api.get(f"/tasks/{task_id}")
    assert found.status_code == 200
    assert "mail" not in found.json()


UNREADABLE: list[Any] = [
    "Successfully validated SNS topic for Amazon SES event publishing.",
    "",
    "null",
    "[]",
    "[" * 10_000,
    '{"eventType": "Bounce"',
    '{"eventType": "\\ud800"}',
    {"eventType": "Bounce"},
    {"eventType": "Bounce", "mail": {}},
    {"notificationType": "Bounce", "bounce": {}, "mail": {"messageId": "0100"}},
]


@pytest.mark.parametrize("message", UNREADABLE, ids=range(len(UNREADABLE)))
def test_a_message_that_is_no_event_is_dropped(
    receive: Callable[[Any], None], caplog: pytest.LogCaptureFixture, message: Any
) -> None:
    """Lambda would only call again with the same."""
    receive(message)

    (line,) = logged(caplog)
    assert line.startswith("WARNING An event of SES was dropped: it has another form: ")


@pytest.mark.parametrize("record", [None, {}, {"Sns": None}, {"Sns": {"Message": 7}}, "text"])
def test_a_call_of_another_form_is_dropped(app: FastAPI, loop: None, record: Any) -> None:
    """One record of it isn't SNS's; the others count."""
    first = {"EventSource": "aws:sns", "Sns": {"Message": "no event"}}

    assert lambda_handler(app)({"Records": [first, record]}, None) is None


def hostile(task_id: str) -> dict[str, dict[str, Any]]:
    """Events with one thing wrong each."""
    wrong: dict[str, dict[str, Any]] = {
        "unknown task": bounce("01890000-0000-7000-8000-000000000000"),
        "no task id": bounce("no/task id"),
        "other deployment": bounce(task_id, configuration_set="celeriac-other"),
        "no recipients": event("Bounce", task_id, bounce={"bounceType": "Permanent"}),
        "delivered": event("Delivery", task_id, delivery={"recipients": [JANE]}),
        "unknown type": event("Teleported", task_id, teleport={"recipients": [JANE]}),
        "text for a list": bounce(task_id),
        "number for text": bounce(task_id),
        "no time": bounce(task_id, at="yesterday"),
        "local time": bounce(task_id, at="2026-11-25T12:00:00"),
    }
    wrong["text for a list"]["bounce"]["bouncedRecipients"] = JANE
    wrong["number for text"]["bounce"]["bouncedRecipients"][0]["emailAddress"] = 7
    for name, tags in {
        "no tags": {},
        "two tasks": {"celeriac-task-id": [task_id, task_id]},
        "no set": {"celeriac-task-id": [task_id]},
        "tags of text": {"celeriac-task-id": task_id},
    }.items():
        wrong[name] = bounce(task_id)
        wrong[name]["mail"]["tags"] = tags
    return wrong


@pytest.mark.parametrize("name", hostile(""))
def test_an_event_that_can_not_be_kept_is_dropped(
    api: Api,
    receive: Callable[[Any], None],
    caplog: pytest.LogCaptureFixture,
    name: str,
) -> None:
    """The task stays as it was, and the log says why, without an address."""
    task_id = api.submit()
    before = services().records.get(task_id)
    caplog.clear()

    receive(hostile(task_id)[name])

    assert services().records.get(task_id) == before
    assert item(task_id) is None
    (line,) = logged(caplog)
    assert line.startswith("WARNING An event of SES was dropped: ")
    assert "@" not in line


def test_a_deployment_without_ses_keeps_nothing(
    api: Api, receive: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no configuration set, so the event can't be of its mail."""
    monkeypatch.delenv("CELERIAC_MAIL_CONFIGURATION_SET")
    settings.cache_clear()
    task_id = api.submit()

    receive(bounce(task_id))

    assert item(task_id) is None


def test_no_log_line_holds_an_address(
    api: Api, receive: Callable[[Any], None], caplog: pytest.LogCaptureFixture
) -> None:
    """Recipients are personal data; the task's id is enough to find them."""
    task_id = api.submit()
    caplog.clear()

    receive(bounce(task_id, JANE, JOHN, diagnostic=f"550 {JANE} unknown"))

    (line,) = logged(caplog)
    assert task_id in line
    assert "mail.net" not in line


def test_texts_of_any_length_are_cut(api: Api, receive: Callable[[Any], None]) -> None:
    """A mail server says what it likes: the record stays readable."""
    task_id = api.submit()

    receive(bounce(task_id, f"{'j' * 9_000}@mail.net", diagnostic="é" * 100_000, subtype="s" * 999))

    (kept,) = api.get(f"/tasks/{task_id}").json()["mail"]["bounced"]
    assert len(kept["recipient"]) == 320
    assert kept["diagnostic"] == "é" * 250
    assert len(kept["subtype"]) == 80


def test_a_task_keeps_no_more_events_than_a_mail_can_have(
    api: Api, receive: Callable[[Any], None]
) -> None:
    """However many recipients are named, and whatever they are called."""
    task_id = api.submit()
    for number in range(5):
        receive(
            bounce(
                task_id,
                *(f"{number}-{each}-{'x' * 400}@mail.net" for each in range(100)),
                diagnostic="d" * 2_000,
            )
        )

    bounced = api.get(f"/tasks/{task_id}").json()["mail"]["bounced"]
    assert len(bounced) == MOST_EVENTS
    # What is there already may still change.
    receive(bounce(task_id, bounced[0]["recipient"], at="2026-11-25T13:00:00Z", diagnostic="new"))
    assert "new" in {
        each["diagnostic"] for each in api.get(f"/tasks/{task_id}").json()["mail"]["bounced"]
    }


def test_an_event_from_the_future_is_of_now(api: Api, receive: Callable[[Any], None]) -> None:
    """No clock of others makes an event that nothing can follow, or that no date can show."""
    task_id = api.submit()

    receive(bounce(task_id, at="9999-12-31T23:59:59-12:00"))
    receive(bounce(task_id, JOHN, at="0001-01-01T00:00:00+12:00"))

    kept = services().mail_events.of(task_id)
    assert max(each.at for each in kept) <= clock.now()
    assert min(each.at for each in kept) == 0
    assert api.get(f"/tasks/{task_id}").status_code == 200


def test_an_outage_of_dynamodb_is_lambdas_to_repeat(
    api: Api, receive: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call fails, so Lambda makes it again; the event isn't dropped."""
    task_id = api.submit()
    refusal: Any = {"Error": {"Code": "ProvisionedThroughputExceededException", "Message": "no"}}

    def refused(*_: Any) -> None:
        raise ClientError(refusal, "GetItem")

    monkeypatch.setattr(services().records, "get", refused)

    with pytest.raises(ClientError):
        receive(bounce(task_id))


def test_an_event_knows_no_text_longer_than_its_limits() -> None:
    """They are cut where the event is made."""
    made = MailEvent(kind=MailEventKind.DELAYED, recipient="j" * 999, at=0, diagnostic="d" * 999)

    assert (len(made.recipient), len(made.diagnostic or ""), made.type) == (320, 500, None)


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The log lines of what handles events, each with its level."""
    return [
        f"{each.levelname} {each.getMessage()}"
        for each in caplog.records
        if each.name == mail_events.__name__
    ]
