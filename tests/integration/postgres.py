"""A Postgres of the tests' own: Debian's package, in a directory that goes with it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pg8000.exceptions import DatabaseError, InterfaceError
from pg8000.native import Connection

from tests.integration.processes import wait_for

HOST = "127.0.0.1"
SUPERUSER = "postgres"
PASSWORD = "of-the-tests"
#: Postgres refuses to run as root. This user is on every system, and owns nothing.
_NOBODY = "nobody"


def programs() -> Path | None:
    """The directory of the newest server that is installed. Debian keeps it out of the PATH."""
    if found := shutil.which("initdb"):
        return Path(found).parent
    installed = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = sorted(installed, key=lambda path: int(path.parents[1].name))
    return newest[-1].parent if newest else None


@dataclass(frozen=True, kw_only=True)
class Postgres:
    """A server that runs. ``certificate`` is the authority of its own certificate."""

    port: int
    certificate: Path

    def connect(self, **options: Any) -> Connection:
        options = {"user": SUPERUSER, "password": PASSWORD, "database": "postgres"} | options
        return Connection(host=HOST, port=self.port, timeout=10, **options)

    def answers(self) -> bool:
        try:
            self.connect().close()
        except (DatabaseError, InterfaceError):
            return False
        return True


@contextmanager
def running(bin: Path, port: int) -> Iterator[Postgres]:
    """Start a server with passwords and TLS on a port of this machine, and end it by its pid."""
    folder = Path(tempfile.mkdtemp(prefix="celeriac-postgres-"))
    user: dict[str, Any] = {"user": _NOBODY, "group": 0} if os.geteuid() == 0 else {}
    try:
        _prepare(bin, folder, user)
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [
                    *(str(bin / "postgres"), "-D", str(folder / "data")),
                    *("-h", HOST, "-p", str(port), "-k", str(folder)),
                    *("-c", "fsync=off", "-c", "ssl=on"),
                    *("-c", f"ssl_cert_file={folder / 'cert.pem'}"),
                    *("-c", f"ssl_key_file={folder / 'key.pem'}"),
                ],
                stdout=log,
                stderr=log,
                cwd=folder,
                **user,
            )
        try:
            postgres = Postgres(port=port, certificate=folder / "cert.pem")
            wait_for(
                lambda: server.poll() is not None or postgres.answers(), "Postgres to start", 60
            )
            assert server.poll() is None, (folder / "log").read_text()
            yield postgres
        finally:
            # A fast shutdown: it ends its clients.
            server.send_signal(signal.SIGINT)
            server.wait(120)
    finally:
        shutil.rmtree(folder)


def _prepare(bin: Path, folder: Path, user: dict[str, Any]) -> None:
    """A new cluster, and a certificate for this machine's address."""
    password = folder / "password"
    password.write_text(PASSWORD)
    for path in (folder, password):
        if user:
            shutil.chown(path, _NOBODY)
    for command in (
        [
            *(str(bin / "initdb"), "-D", str(folder / "data"), "--username", SUPERUSER),
            *("--auth", "scram-sha-256", "--pwfile", str(password), "--no-sync"),
        ],
        [
            *("openssl", "req", "-x509", "-nodes", "-newkey", "rsa:2048", "-days", "2"),
            *("-subj", "/CN=postgres", "-addext", f"subjectAltName=IP:{HOST}"),
            *("-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")),
        ],
    ):
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, cwd=folder, timeout=120, **user
        )
        assert done.returncode == 0, done.stderr
