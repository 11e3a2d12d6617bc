"""SQS: standard queues with visibility, long polls, delays, fairness and dead letters.

Where AWS says "might", this server does the worse. A receipt handle that a later delivery has
replaced deletes nothing, and changes no visibility.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Callable
from hashlib import md5
from typing import Any

from celeriac.local.standin.errors import AwsError
from celeriac.local.standin.faults import Faults
from celeriac.local.standin.sqs_queue import ACCOUNT, Message, Queue

BATCH_LIMIT = 10


class Sqs:
    """The service: a method an operation. Long polls get ``answered`` later."""

    def __init__(self, loop: asyncio.AbstractEventLoop, faults: Faults, endpoint: str) -> None:
        self.loop = loop
        self.faults = faults
        self.queues: dict[str, Queue] = {}
        self.duplicates = 0
        self._endpoint = endpoint

    def perform(self, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """Perform an operation that is answered at once."""
        handler = getattr(self, f"_{operation}", None)
        if handler is None:
            raise AwsError("InvalidAction", f"The stand-in has no {operation}.")
        answer: dict[str, Any] = handler(parameters)
        return answer

    def queue(self, parameters: dict[str, Any]) -> Queue:
        return self._named(parameters["QueueUrl"].rpartition("/")[2])

    def _named(self, name: str) -> Queue:
        try:
            return self.queues[name]
        except KeyError:
            raise AwsError(
                "com.amazonaws.sqs#QueueDoesNotExist", "The specified queue does not exist."
            ) from None

    def _url(self, name: str) -> str:
        return f"{self._endpoint}/{ACCOUNT}/{name}"

    # -- queues

    def _CreateQueue(self, parameters: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        name = parameters["QueueName"]
        self.queues.setdefault(name, Queue(self, name, parameters.get("Attributes", {})))
        return {"QueueUrl": self._url(name)}

    def _DeleteQueue(self, parameters: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        del self.queues[self.queue(parameters).name]
        return {}

    def _ListQueues(self, parameters: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        prefix = parameters.get("QueueNamePrefix", "")
        return {"QueueUrls": [self._url(each) for each in self.queues if each.startswith(prefix)]}

    def _GetQueueUrl(self, parameters: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {"QueueUrl": self._url(self._named(parameters["QueueName"]).name)}

    def _SetQueueAttributes(self, parameters: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        self.queue(parameters).attributes.update(parameters["Attributes"])
        return {}

    def _GetQueueAttributes(self, parameters: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        queue = self.queue(parameters)
        visible, in_flight, delayed = queue.depths()
        known = {
            **queue.attributes,
            "QueueArn": queue.arn,
            "ApproximateNumberOfMessages": str(visible),
            "ApproximateNumberOfMessagesNotVisible": str(in_flight),
            "ApproximateNumberOfMessagesDelayed": str(delayed),
        }
        wanted = parameters.get("AttributeNames", [])
        if "All" in wanted:
            return {"Attributes": known}
        return {"Attributes": {name: known[name] for name in wanted if name in known}}

    def _PurgeQueue(self, parameters: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        self.queue(parameters).purge()
        return {}

    def _StartMessageMoveTask(self, parameters: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        source = self._named(parameters["SourceArn"].rpartition(":")[2])
        for message in list(source.messages.values()):
            source.delete(message)
            self._destination(parameters, source).put(message.copy(receives=0))
        return {"TaskHandle": str(uuid.uuid4())}

    def _destination(self, parameters: dict[str, Any], source: Queue) -> Queue:
        named = parameters.get("DestinationArn")
        if named:
            return self._named(named.rpartition(":")[2])
        for queue in self.queues.values():
            policy = queue.attributes.get("RedrivePolicy")
            if policy and json.loads(policy)["deadLetterTargetArn"] == source.arn:
                return queue
        raise AwsError("ResourceNotFoundException", "The source is no dead-letter queue.")

    # -- messages

    def _SendMessage(self, parameters: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return self._send(self.queue(parameters), parameters)

    def _SendMessageBatch(self, parameters: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return self._batch(parameters, self._send)

    def _DeleteMessage(self, parameters: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return self._delete(self.queue(parameters), parameters)

    def _DeleteMessageBatch(self, parameters: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return self._batch(parameters, self._delete)

    def _ChangeMessageVisibility(self, parameters: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return self._change(self.queue(parameters), parameters)

    def _ChangeMessageVisibilityBatch(  # noqa: N802
        self, parameters: dict[str, Any]
    ) -> dict[str, Any]:
        return self._batch(parameters, self._change)

    def _batch(
        self,
        parameters: dict[str, Any],
        each: Callable[[Queue, dict[str, Any]], dict[str, Any]],
    ) -> dict[str, Any]:
        queue = self.queue(parameters)
        entries = parameters["Entries"]
        if not entries:
            raise AwsError("com.amazonaws.sqs#EmptyBatchRequest", "The batch has no entries.")
        if len(entries) > BATCH_LIMIT:
            raise AwsError("com.amazonaws.sqs#TooManyEntriesInBatchRequest", "Ten at most.")
        if len({entry["Id"] for entry in entries}) < len(entries):
            raise AwsError("com.amazonaws.sqs#BatchEntryIdsNotDistinct", "Ids must differ.")
        done, failed = [], []
        for entry in entries:
            try:
                done.append({"Id": entry["Id"], **each(queue, entry)})
            except AwsError as error:
                failed.append(
                    {
                        "Id": entry["Id"],
                        "SenderFault": True,
                        "Code": error.type,
                        "Message": str(error),
                    }
                )
        return {"Successful": done, "Failed": failed} if failed else {"Successful": done}

    def _send(self, queue: Queue, parameters: dict[str, Any]) -> dict[str, Any]:
        body = parameters["MessageBody"]
        encoded = body.encode()
        if len(encoded) > int(queue.attributes["MaximumMessageSize"]):
            raise AwsError("InvalidParameterValue", "The message is too long.")
        delay = parameters.get("DelaySeconds")
        if delay is None:
            delay = int(queue.attributes["DelaySeconds"])
        if not 0 <= delay <= 900:  # noqa: PLR2004 - fifteen minutes, the API's limit
            raise AwsError("InvalidParameterValue", f"DelaySeconds of {delay} is out of range.")
        message = Message(
            str(uuid.uuid4()),
            body,
            md5(encoded, usedforsecurity=False).hexdigest(),
            parameters.get("MessageAttributes", {}),
            parameters.get("MessageGroupId"),
            time.time(),
        )
        queue.put(message, delay)
        return {"MessageId": message.id, "MD5OfMessageBody": message.md5}

    def _delete(self, queue: Queue, parameters: dict[str, Any]) -> dict[str, Any]:
        try:
            queue.delete(queue.find(parameters["ReceiptHandle"]))
        except AwsError as error:
            if error.type == "ReceiptHandleIsInvalid":
                raise
            # Deleted before, or delivered again: AWS says yes to both.
        return {}

    def _change(self, queue: Queue, parameters: dict[str, Any]) -> dict[str, Any]:
        message = queue.find(parameters["ReceiptHandle"])
        if not message.hidden_until or message.hidden_until <= time.monotonic():
            raise AwsError("MessageNotInflight", "The message is not in flight.")
        seconds = parameters["VisibilityTimeout"]
        if seconds:
            queue.hide(message, seconds)
        else:
            queue.show(message)
        return {}
