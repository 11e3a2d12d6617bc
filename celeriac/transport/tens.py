"""Batch calls of SQS: ten entries to a call, numbered, each with an answer of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: How many messages a call of SQS sends, gives, changes or deletes at most.
#: docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
BATCH_LIMIT = 10


@dataclass(frozen=True)
class Failed:
    """Why SQS refuses one entry. With ``by_sender`` it would refuse it again."""

    code: str
    by_sender: bool


def numbered(entries: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The entries of one call, each with its place as the id."""
    return [{"Id": str(place), **each} for place, each in enumerate(entries)]


def failures(answer: Mapping[str, Any]) -> dict[int, Failed]:
    """The entries of one call that failed, by their place."""
    return {
        int(each["Id"]): Failed(str(each.get("Code")), bool(each.get("SenderFault")))
        for each in answer.get("Failed", [])
    }


def call(
    method: Callable[..., Any], url: str, entries: Sequence[Mapping[str, Any]]
) -> Iterator[Failed | None]:
    """Make the calls one by one; for each entry, in order, why it failed, or None.

    Raises:
        botocore.exceptions.BotoCoreError: SQS can't be reached. Earlier calls have been made.
        botocore.exceptions.ClientError: it refused a call as a whole.
    """
    for start in range(0, len(entries), BATCH_LIMIT):
        chunk = entries[start : start + BATCH_LIMIT]
        failed = failures(method(QueueUrl=url, Entries=numbered(chunk)))
        yield from (failed.get(place) for place in range(len(chunk)))
