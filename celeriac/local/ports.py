"""The ports of `celeriac dev`, on the loopback interface."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from celeriac.local.aws import HOST


class PortError(Exception):
    """A port can't be used. The message names the variable and the option that choose another."""

    def __init__(self, variable: str, port: object, problem: str) -> None:
        option = f"--{variable.lower().replace('_', '-')}"
        super().__init__(f"Port {port} {problem}. Choose another with {option} or {variable}.")


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Where the API and AWS listen."""

    api: int = 8000
    aws: int = 5055

    @classmethod
    def chosen(
        cls,
        *,
        api: str | None = None,
        aws: str | None = None,
        kept: int | None = None,
        variables: Mapping[str, str] = os.environ,
    ) -> Ports:
        """The ports of the options, else of ``API_PORT`` and ``AWS_PORT``, else the usual ones.

        Args:
            kept: the port of an AWS that is running already.

        Raises:
            PortError: one is no port number, or one port was chosen for both.
        """
        ports = cls(
            api=_number("API_PORT", api or variables.get("API_PORT") or str(cls.api)),
            aws=_number("AWS_PORT", aws or variables.get("AWS_PORT") or str(kept or cls.aws)),
        )
        if ports.api == ports.aws:
            raise PortError("AWS_PORT", ports.aws, "can't be both the API's and AWS's")
        return ports

    @property
    def api_url(self) -> str:
        return f"http://{HOST}:{self.api}"

    @property
    def aws_url(self) -> str:
        return f"http://{HOST}:{self.aws}"


def check_free(variable: str, port: int) -> None:
    """Nothing happens if a server can listen on this port.

    Raises:
        PortError: it is in use, or reserved for the administrator.
    """
    with socket.socket() as probe:
        # A port that was in use a moment ago is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except PermissionError as error:
            raise PortError(variable, port, "needs administrator rights") from error
        except OSError as error:
            raise PortError(variable, port, "is in use by another program") from error


def _number(variable: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 2**16):
        raise PortError(variable, text, "is not a number from 1 to 65535")
    return int(text)
