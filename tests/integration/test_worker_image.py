"""The worker's image, really built and run: its user, its file system, its health, its drain.

Built by buildah on a debootstrap base, and run in a chroot with the root file system mounted
read-only, as Fargate mounts it. Needs Linux, root, buildah and debootstrap.

The image is of this machine's architecture. ``make test-image ARCH=arm64`` builds and runs one of
Fargate's instead, which takes qemu-user-static on a machine of another, and minutes.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from celeriac.app import factory
from celeriac.cdk import Sources
from celeriac.cdk.worker_image import APT, PIP_SECRET, stage
from celeriac.contract import catalogue
from celeriac.local.aws import AwsServer
from celeriac.local.environment import aws_variables, enter
from celeriac.local.provision import provision
from celeriac.operations.lookup import find
from celeriac.operations.submission import submit
from celeriac.settings import Settings
from celeriac.storage.services import reset

QUEUES = catalogue().queues


ROOT = Path(__file__).parents[2]
# By Debian's name, which is also the container world's.
ARCH = os.environ.get("IMAGE_ARCH", "")
EMULATED = ARCH not in ("", {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine()))
# Emulated, a start takes a minute.
PATIENCE = timedelta(minutes=10 if EMULATED else 1)
BASE = f"localhost/celeriac-base{ARCH and '-'}{ARCH}"
IMAGE = f"localhost/celeriac-worker{ARCH and '-'}{ARCH}"
#: A small package of Debian that no other brings, and what a private index's file may hold.
PACKAGE, PASSWORD = "hello", "hunter2"
BUILDAH = {**os.environ, "STORAGE_DRIVER": "vfs", "BUILDAH_ISOLATION": "chroot"}
PLATFORM = [f"--arch={ARCH}"] if ARCH else []
MISSING = [each for each in ("buildah", "debootstrap", "unshare") if not shutil.which(each)]

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0 or bool(MISSING),
    reason=f"needs Linux, root, and to be installed: {', '.join(MISSING) or 'nothing more'}",
)


def buildah(*arguments: str) -> str:
    done = subprocess.run(
        ["buildah", *arguments], cwd=ROOT, env=BUILDAH, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip()


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The image's configuration. The base is made once a machine."""
    if BASE not in buildah("images", "--format", "{{.Name}}").split():
        base = tmp_path_factory.mktemp("base") / "root"
        packages = "--include=python3,python3-venv,python3-pip,ca-certificates"
        subprocess.run(
            [
                "debootstrap",
                "--variant=minbase",
                *([f"--arch={ARCH}"] if ARCH else []),
                packages,
                "trixie",
                str(base),
            ],
            check=True,
            capture_output=True,
        )
        container = buildah("from", *PLATFORM, "scratch")
        buildah("add", "--quiet", container, str(base), "/")
        buildah("commit", "--quiet", "--rm", container, BASE)
        shutil.rmtree(base)
    directory = tmp_path_factory.mktemp("image")
    context, pip_config = directory / "context", directory / "pip.conf"
    stage(Sources.of(ROOT), context)
    pip_config.write_text(f"[global]\nretries = 5\n# {PASSWORD}\n")
    buildah(
        "build", "--quiet", *PLATFORM, "--network=host", "--format=docker",
        f"--build-arg=BASE={BASE}", f"--build-arg={APT}={PACKAGE}",
        f"--secret=id={PIP_SECRET},src={pip_config}", "--volume=/etc/ssl/certs:/etc/ssl/certs:ro",
        f"--tag={IMAGE}", str(context),
    )  # fmt: skip
    inspected = json.loads(buildah("inspect", "--type=image", IMAGE))
    configuration: dict[str, Any] = inspected["Docker"]["config"]
    return configuration


@pytest.fixture(scope="module")
def root(image: dict[str, Any]) -> Iterator[Path]:
    """The image's file system."""
    container = buildah("from", IMAGE)
    try:
        yield Path(buildah("mount", container))
    finally:
        buildah("umount", container)
        buildah("rm", container)


# Read-only but for /tmp and shared memory, as on Fargate; exec, so that signals arrive.
ENTER = """
mount --bind "$0" "$0" && mount -t tmpfs -o mode=1777 tmpfs "$0/tmp" &&
mount -t proc proc "$0/proc" && mount --bind /dev "$0/dev" &&
mount -t tmpfs -o mode=1777 tmpfs "$0/dev/shm" &&
mount -o remount,bind,ro "$0" &&
exec chroot --userspec="$1" "$0" /usr/bin/env -i -C /opt/celeriac/app "${@:2}"
"""


def command(root: Path, image: dict[str, Any], variables: dict[str, str], *run: str) -> list[str]:
    """What runs ``run`` in the image, as its user, with its variables and these."""
    environment = [*image["Env"], *(f"{name}={value}" for name, value in variables.items())]
    return [
        "unshare", "--mount", "bash", "-c", ENTER, str(root), image["User"], *environment, *run,
    ]  # fmt: skip


def inside(root: Path, image: dict[str, Any], *run: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(root, image, {}, *run), check=False, capture_output=True, text=True
    )


def test_the_image_has_the_packages_that_its_fleet_asks_for(
    root: Path, image: dict[str, Any]
) -> None:
    """As ``Fleet(apt=("hello",))`` has them, for the worker's own user."""
    said = inside(root, image, PACKAGE)
    assert said.stdout == "Hello, world!\n"


def test_no_layer_keeps_the_file_with_a_private_index(root: Path) -> None:
    """pip read it while the image was built, from where nothing of it stays."""
    file = root / "etc" / "pip.conf"
    assert not file.exists() or file.read_bytes() == b""
    history = buildah("inspect", "--type=image", IMAGE)
    assert PASSWORD not in history


def test_the_image_starts_the_worker_itself_and_asks_it_for_its_health(
    image: dict[str, Any],
) -> None:
    """Exec-form command and health check: no shell stands between ECS and the worker."""
    assert image["Cmd"] == ["python", "-m", "celeriac.worker"]
    assert image["Healthcheck"]["Test"] == ["CMD", "python", "-m", "celeriac.worker.health"]
    assert "/tmp" in image["Volumes"]


def test_it_runs_as_a_user_of_its_own(root: Path, image: dict[str, Any]) -> None:
    """A uid of its own, not root's."""
    assert inside(root, image, "id", "-u").stdout.strip() == "10001"


def test_only_tmp_can_be_written(root: Path, image: dict[str, Any]) -> None:
    """The root file system is read-only, and Python's temporary directory is the one that isn't."""
    write = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text('x')"
    assert "Read-only" in inside(root, image, "python", "-c", write, "/opt/celeriac/x").stderr
    temporary = "import tempfile; print(tempfile.gettempdir())"
    assert inside(root, image, "python", "-c", temporary).stdout.strip() == "/tmp"
    assert inside(root, image, "python", "-c", write, "/tmp/x").returncode == 0


def test_every_library_that_workers_need_is_in_and_compiled(
    root: Path, image: dict[str, Any]
) -> None:
    """The task types import with their heavy libraries, and no source is without its .pyc."""
    heavy = "import duckdb, PIL, pypdf, typst, xlsxwriter, pycurl, worker.app; print('ok')"
    done = inside(root, image, "python", "-c", heavy)
    assert done.stdout.strip() == "ok", done.stderr
    assert list((root / "opt/celeriac/app/celeriac/worker/__pycache__").glob("health.*.pyc"))


def test_sigterm_lets_a_running_task_finish(
    root: Path, image: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A healthy worker that is told to stop in the middle of a task finishes it, and ends."""
    with AwsServer() as aws:
        settings = Settings(
            queue_url_prefix=f"{aws.endpoint}/123456789012/celeriac-",
            drain_window=timedelta(seconds=30),
        )
        variables = settings.to_environment() | aws_variables(aws.endpoint)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        enter(variables)
        reset()
        factory.forget()
        provision(settings, catalogue())
        worker = subprocess.Popen(
            command(
                root, image,
                {**variables, "CELERIAC_QUEUES": "default", "CELERIAC_CONCURRENCY": "1"},
                *image["Cmd"],
            ),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            _wait_until(lambda: _healthy(worker, image))
            task_id = submit("long-running", {"total_steps": 8, "step_seconds": 0.5}).record.task_id
            # STARTED may be but claimed, and is handed back then: its process hasn't begun.
            _wait_until(lambda: find(task_id, settings.tenant).state == "PROGRESS")
            worker.terminate()
            output, _ = worker.communicate(timeout=PATIENCE.total_seconds())
        finally:
            worker.kill()
            worker.communicate()
        assert worker.returncode == 0, output.decode()[-3000:]
        assert find(task_id, settings.tenant).state == "SUCCESS", output.decode()[-3000:]
    reset()
    factory.forget()


def _healthy(worker: subprocess.Popen[bytes], image: dict[str, Any]) -> bool:
    assert worker.poll() is None, worker.stdout and worker.stdout.read().decode()[-3000:]
    test = image["Healthcheck"]["Test"][1:]
    uid, gid = image["User"].split(":")
    # In the container's own mounts, as ECS runs it.
    done = subprocess.run(
        [
            "nsenter", f"--target={worker.pid}", "--mount", "--root", "--wd",
            f"--setuid={uid}", f"--setgid={gid}", "env", "-i", *image["Env"], *test,
        ],
        check=False,
        capture_output=True,
    )  # fmt: skip
    return done.returncode == 0


def _wait_until(condition: Any) -> None:
    deadline = monotonic() + PATIENCE.total_seconds()
    while not condition():
        assert monotonic() < deadline
        sleep(0.2)


def test_each_queue_has_a_command_that_the_image_understands(
    root: Path, image: dict[str, Any]
) -> None:
    """A queue that isn't there is refused in a sentence, before anything is received."""
    done = subprocess.run(
        command(root, image, {"CELERIAC_QUEUES": "nowhere"}, *image["Cmd"]),
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert all(queue.name in done.stderr for queue in QUEUES)
