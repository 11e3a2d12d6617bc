"""A lean stand-in for SQS, DynamoDB, S3 and EventBridge Scheduler, that can be made to fail.

moto is thorough and slow, and treats a message's visibility more kindly than AWS does. Benchmarks
and fault tests need the opposite: thousands of calls a second, true visibility semantics, and
faults on demand.

    with Standin(latency=timedelta(milliseconds=10)) as aws:
        aws.inject(Fault("unavailable", service="sqs", probability=0.05))
        aws.heal()

    process.py       the server as a child process, and what tests ask of it
    server.py        one request: stand still, fail if told to, perform, answer
    http.py          HTTP/1.1 with keep-alive, no more of it than the AWS SDKs use
    faults.py        what can go wrong, and when
    sqs.py           queues: visibility, long polls, delays, dead letters
    dynamodb.py      tables and indexes; expressions.py the language of its conditions and updates
    s3.py            objects
    scheduler.py     schedules, kept and never fired
"""

from celeriac.local.standin.faults import Fault
from celeriac.local.standin.process import Standin

__all__ = ["Fault", "Standin"]
