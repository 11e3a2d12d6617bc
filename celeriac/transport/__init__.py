"""Celeriac's SQS transport for kombu.

Stock kombu dies of a 503, waits forever for an unanswered poll, and acknowledges with a blocking
call a message. What is different here, through kombu's own extension points:

    channel.py           sending; consuming as fast as the pool takes, and no faster
    polls.py             which queue is polled next, and for how many messages
    requests.py          calls of SQS on the event loop, with time-outs; every failure an answer
    settling.py          a received message is deleted, returned or dead-lettered
    batches.py           acknowledgements and visibility changes, ten to a call
    outbox.py            messages that go out together, ten to a call
    tens.py              a batch call: entries numbered, their failures read
    held.py              what this worker has received and not yet acknowledged
    delays.py            delays longer than SQS can keep
"""

from celeriac.transport.channel import Channel, Transport
from celeriac.transport.held import HeldMessage, HeldMessages

__all__ = ["Channel", "HeldMessage", "HeldMessages", "Transport"]
