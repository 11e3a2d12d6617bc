"""The text that `celeriac dev` prints when everything runs."""

from __future__ import annotations

import shlex
from pathlib import Path

from celeriac.local.ports import Ports


def welcome(ports: Ports, api_key: str, key_file: Path, sample: tuple[str, str] | None) -> str:
    """Addresses, the API key, and commands to paste.

    Args:
        sample: a request to show: its path, and its payload as JSON.
    """
    lines = f"""
Celeriac is ready.

  API        {ports.api_url}      docs at {ports.api_url}/docs
  API key    {api_key}      also in {key_file}
  Mail sent  {ports.aws_url}/moto-api/data.json
"""
    if sample:
        lines += _requests(ports, api_key, *sample)
    return (
        lines
        + """
Change a file, and the API and the worker restart. Another worker: celeriac worker.
Ctrl-C ends everything.
"""
    )


def _requests(ports: Ports, api_key: str, path: str, payload: str) -> str:
    header = f"-H 'Authorization: Bearer {api_key}'"
    prefix = path.rpartition("/tasks/")[0]
    return f"""
Submit a task:

curl -sS {ports.api_url}{path} \\
  {header} \\
  -H 'Content-Type: application/json' \\
  -d {shlex.quote(payload)}

Follow it, with the task_id of the answer. Each call waits for a change:

curl -sS '{ports.api_url}{prefix}/tasks/TASK_ID?wait=20' \\
  {header}
"""
