"""Asks a server on this machine whether it answers, past any proxy."""

from __future__ import annotations

from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 5


def status(url: str) -> int | None:
    """The HTTP status of a GET of this URL; None if nothing answers there."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", parts.path)
        return connection.getresponse().status
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()


def aws_answers(endpoint: str) -> bool:
    """Whether the AWS at this URL answers."""
    return status(f"{endpoint}/moto-api/") is not None
