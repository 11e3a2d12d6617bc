"""Keeps the tests of one process apart."""

from __future__ import annotations

import kombu.pools

from celeriac.app import factory
from celeriac.storage import services


def forget_aws() -> None:
    """Drop every client, connection and app that leads to some AWS.

    kombu keeps connections for all apps of a process, and an app that has used one goes on with it.
    """
    kombu.pools.reset()
    factory.forget()
    services.reset()
