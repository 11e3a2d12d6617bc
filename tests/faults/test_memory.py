"""Each fleet's worker fits into the memory that its fleet has.

A worker is started as a container would start it, with the fleet's processes. Where the machine can
make memory cgroups (Linux, root, cgroup v2), it runs in one of the fleet's size without swap, and
the kernel kills what doesn't fit, as on Fargate. Elsewhere the memory of its processes is measured.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from celeriac import Celeriac, states
from celeriac.contract import Queue, catalogue
from celeriac.local.environment import REGION
from celeriac.operations.submission import submit
from celeriac.storage.services import services
from infra.rehearsal.samples import samples, with_files
from tests.faults.stack import Stack
from tests.integration.processes import wait_for

TYPES = catalogue()
SENDER = "tasks@celeriac.dev"
#: How many tasks a queue's worker runs: most of those that take least.
TASKS = {"default": 200, "email": 200, "files": 100, "reports": 60, "maintenance": 20}
USUAL = 100
#: Of the tasks in their samples, these would wait for seconds.
QUICK = {"step_seconds": 0}
SECONDS = 60
#: Not the key of the other workers here, whose calls are held against the role of one queue.
KEY = "AKIAOFEACHQUEUE00000"


class Cgroup:
    """A memory cgroup of a fleet's size."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def join(self) -> str:
        """A shell's command that puts itself in."""
        return f"echo $$ > {self.path}/cgroup.procs"

    @property
    def killed(self) -> int:
        """How many processes the kernel has killed for want of memory."""
        lines = (self.path / "memory.events").read_text().splitlines()
        return int(dict(each.split() for each in lines)["oom_kill"])


@contextmanager
def cgroup(name: str, mebibytes: int) -> Iterator[Cgroup | None]:
    """A cgroup with this much memory; None where this machine can't make one."""
    root = Path("/sys/fs/cgroup")
    path = root / name
    try:
        if "memory" not in (root / "cgroup.subtree_control").read_text().split():
            yield None
            return
        path.mkdir()
        (path / "memory.max").write_text(str(mebibytes * 2**20))
        (path / "memory.swap.max").write_text("0")
    except OSError:
        yield None
        return
    try:
        yield Cgroup(path)
    finally:
        path.rmdir()


def tree(pid: int) -> Iterator[int]:
    """A process and all that descend from it."""
    yield pid
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        children = [child for each in threads for child in (each / "children").read_text().split()]
    except OSError:  # it has ended
        return
    for child in children:
        yield from tree(int(child))


def memory(pid: int) -> float:
    """MiB of a process and its descendants. A page that several share counts once (PSS)."""
    total = 0
    for each in tree(pid):
        try:
            lines = Path(f"/proc/{each}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


@pytest.fixture(scope="module")
def ses() -> Iterator[str]:
    """moto's SES, which knows the sender; its address."""
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    client = boto3.client("sesv2", endpoint_url=endpoint, region_name=REGION)
    client.create_email_identity(EmailIdentity=SENDER)
    yield endpoint
    server.stop()


@pytest.fixture
def caller(stack: Stack) -> Celeriac:
    """The app of a process that submits the application's own tasks."""
    settings = services().settings
    return Celeriac("caller", settings=settings, catalogue=TYPES, set_as_current=False)


def upload(name: str, content_type: str, content: bytes) -> str:
    key = f"files/memory/{name}"
    tenant = services().settings.tenant
    services().artifacts.put(tenant, key, content, content_type=content_type)
    return key


def payloads(queue: Queue) -> Iterator[tuple[str, dict[str, Any]]]:
    """The samples of a queue's task types, without end."""
    names = {each.name for each in TYPES.on(queue)}
    found = [
        (name, with_files(each | {key: QUICK[key] for key in each.keys() & QUICK.keys()}, upload))
        for name, of_type in samples(TYPES).items()
        if name in names
        for each in of_type
    ]
    return cycle(found)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("queue", TYPES.queues, ids=lambda each: each.name)
def test_a_fleets_worker_fits_into_its_memory(
    stack: Stack,
    caller: Celeriac,
    ses: str,
    queue: Queue,
    tmp_path: Path,
    record_property: Any,
) -> None:
    """All its processes run the built-in task type: nothing is killed, and every task succeeds."""
    fleet = queue.fleet
    count = TASKS.get(queue.name, USUAL)
    health = tmp_path / "health.json"
    log = tmp_path / "log"
    environment = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_ENDPOINT_URL_SESV2": ses,
        "CELERIAC_MAIL_FROM": SENDER,
        "CELERIAC_QUEUES": queue.name,
        "CELERIAC_CONCURRENCY": str(fleet.processes),
        "CELERIAC_HEALTH_FILE": str(health),
    }
    with cgroup(f"celeriac-{os.getpid()}-{queue.name}", fleet.memory) as limit:
        join = f"{limit.join()} && " if limit else ""
        with log.open("wb") as output:
            worker = subprocess.Popen(
                ["/bin/sh", "-c", f"{join}exec {sys.executable} -m celeriac.worker"],
                env=environment,
                stdout=output,
                stderr=output,
            )
        peak = 0.0
        try:
            wait_for(health.exists, "the worker to start")
            left = {
                submit(name, payload, app=caller).record.task_id
                for name, payload in islice(payloads(queue), count)
            }
            ends: dict[str, str] = {}
            give_up_at = time.monotonic() + SECONDS
            while left:
                peak = max(peak, memory(worker.pid))
                found = services().records.get_many(left)
                ends |= {
                    id: each.state for id, each in found.items() if each.state in states.TERMINAL
                }
                left -= set(ends)
                assert time.monotonic() < give_up_at, f"{len(left)} left:\n{log.read_text()}"
                time.sleep(0.1)
            killed = limit.killed if limit else 0
        finally:
            worker.terminate()
            worker.wait(SECONDS)
    enforced = "enforced by a cgroup" if limit else "measured: this machine makes no cgroup"
    record_property("figures", f"{peak:.0f} of {fleet.memory} MiB at most, {enforced}")

    assert len(ends) == count
    assert set(ends.values()) == {states.SUCCESS}, log.read_text()
    assert killed == 0
    assert 0 < peak < fleet.memory
