"""moto's server with the missing types, recording every call and its caller.

``python -m infra.rehearsal.server CALLS_FILE`` prints its URL and serves until its input ends.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from pathlib import Path

from celeriac import catalogue
from infra.rehearsal.calls import REGION, Recorder

HOST = "127.0.0.1"
# The deployer's key. The keys of watched callers begin with WATCHED.
KEY = "AKIAREHEARSAL0DEPLOY"
WATCHED = "AKIAWATCHED"
#: The function that checks each fleet's image before its service changes.
CHECK_KEY = f"{WATCHED}00CHECK"
#: The function that EventBridge Scheduler calls.
FIRE_KEY = f"{WATCHED}000FIRE"
#: ECS's agent, with the execution role of a task.
AGENT_KEY = f"{WATCHED}00AGENT"


def worker_key(queue: str) -> str:
    """The access key id of this queue's workers. The server tells callers apart by it."""
    place = [each.name for each in catalogue().queues].index(queue)
    return f"{WATCHED}{place:09}"


def main(calls_file: str) -> None:
    """Serve until standard input ends."""
    os.environ |= {
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": "unused",
    }
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    from infra.rehearsal.agent import Agent
    from infra.rehearsal.execution import install
    from infra.rehearsal.resources import MODELS

    install(function_key=CHECK_KEY)

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app = Recorder(DomainDispatcherApplication(create_backend_app), Path(calls_file), keys=WATCHED)
    server = make_server(HOST, 0, Agent(app), threaded=True)
    url = f"http://{HOST}:{server.port}"
    os.environ |= {"AWS_ENDPOINT_URL": url, "MOTO_PORT": str(server.port)}
    sys.stdout.write(f"{url} {len(MODELS)}\n")
    sys.stdout.flush()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.buffer.read()


if __name__ == "__main__":
    main(sys.argv[1])
