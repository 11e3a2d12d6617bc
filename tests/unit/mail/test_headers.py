from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from celeriac.contract import PermanentError
from celeriac.testing.context import FakeContext
from tasks.mail.backend import Mail, Receipt
from tasks.mail.message import message_id
from tasks.send_email import SendEmail, one_line, send_email

from .conftest import parse

EXPECTED = {
    "From",
    "To",
    "Cc",
    "Reply-To",
    "Subject",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "X-Celeriac-Task-Id",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
}

FIELDS = ("subject", "from_name", "file_name", "heading", "body")

# Text that smuggles: line breaks of every kind, encoded words, header names, and anything else.
hostile = st.lists(
    st.one_of(
        st.sampled_from(
            [
                *'\r\n\x0b\x0c\x1c\x85\u2028\u2029\0 \t\u202e",<>:;()\\é👋',
                "\r\nBcc: x@evil.net",
                "=?utf-8?q?=0D=0ABcc:_x@evil.net?=",
                "=?utf-8?b?DQpCY2M6IHhAZXZpbC5uZXQ=?=",
                "=?",
                "?=",
                "привет",
            ]
        ),
        st.text(max_size=40),
    ),
    max_size=12,
).map("".join)


class Outbox:
    """A mail backend that keeps."""

    def __init__(self) -> None:
        self.mails: list[Mail] = []

    def suppressed(self, addresses: object) -> frozenset[str]:
        return frozenset()

    def send(self, mail: Mail) -> Receipt:
        self.mails.append(mail)
        return Receipt(message_id="1")


def attempt(outbox: Outbox, payload: dict[str, Any]) -> SendEmail | None:
    """Submit and run, as the API and a worker would; None where the payload was refused."""
    with TemporaryDirectory() as directory:
        attached = Path(directory) / "file"
        attached.write_bytes(b"content")
        context = FakeContext(workdir=Path(directory), files={"k": attached})
        try:
            accepted = SendEmail(**payload)
            send_email(accepted, context)
        except (ValidationError, PermanentError):
            return None
        return accepted


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=st.fixed_dictionaries(dict.fromkeys(FIELDS, hostile)))
def test_no_input_adds_a_header_or_a_recipient(
    monkeypatch: pytest.MonkeyPatch, text: dict[str, str]
) -> None:
    """Whatever a caller writes anywhere, it is refused or stays where it was written."""
    outbox = Outbox()
    monkeypatch.setattr("tasks.mail.choice.backend", lambda: outbox)
    address = {"email": "a@mail.net", "cc": ["c@mail.net"], "reply_to": "r@mail.net"}
    plain = {
        **address,
        "subject": text["subject"],
        "from_name": text["from_name"],
        "message": text["body"],
        "attachments": [{"key": "k", "name": text["file_name"]}],
    }
    templated = {
        **address,
        "template": "notification",
        "variables": {"heading": text["heading"], "paragraphs": [text["body"]]},
    }

    for payload in (plain, templated):
        outbox.mails.clear()
        accepted = attempt(outbox, payload)
        for mail in outbox.mails:
            read = parse(mail.raw)
            assert set(read.keys()) <= EXPECTED
            assert len(read.keys()) == len(set(read.keys()))
            assert mail.recipients == ("a@mail.net", "c@mail.net")
            assert [each.addr_spec for each in read["To"].addresses] == ["a@mail.net"]
            assert [each.addr_spec for each in read["From"].addresses] == [mail.sender]
            assert [each.addr_spec for each in read["Cc"].addresses] == ["c@mail.net"]
            assert not read.defects
            for part in read.walk():
                assert set(part.keys()) <= EXPECTED | {"Content-Disposition"}
            if accepted and accepted.subject and "=?" not in accepted.subject:
                assert "".join(read["Subject"].split()) == "".join(accepted.subject.split())


@given(address=hostile)
@settings(max_examples=300, deadline=None)
def test_no_address_holds_more_than_an_address(address: str) -> None:
    """Nothing passes as an address that has white space, a control character or a second @."""
    try:
        accepted = SendEmail(email=address + "@mail.net", subject="x", message="x").email
    except ValidationError:
        return
    assert accepted.isascii()
    assert accepted.isprintable()
    assert not set(accepted) & set(' ,;:<>()[]"\\')
    assert accepted.count("@") == 1


@given(text=hostile)
def test_a_line_is_a_line_by_every_definition(text: str) -> None:
    """What passes as one line is one to ``str.splitlines``, which knows the most line breaks."""
    try:
        one_line(text)
    except ValueError:
        return
    assert len(text.splitlines()) <= 1


@given(task_id=hostile)
def test_a_task_id_of_any_text_makes_a_valid_message_id(task_id: str) -> None:
    """Ids of plain Celery tasks are whatever their sender chose."""
    assert message_id(task_id, "post@shop.net").isascii()
    assert message_id(task_id, "post@shop.net").isprintable()
