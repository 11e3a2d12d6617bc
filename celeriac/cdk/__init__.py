"""Celeriac on AWS, as CDK constructs derived from a catalogue.

``Celeriac`` is everything in one construct, inside a stack of your own. ``TaskData``,
``WorkerFleets``, ``TaskApi`` and ``Operations`` are its parts, for stacks that are apart.

Names are imported when they are first used, so that plain data costs no start of the CDK.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from celeriac.cdk.constructs.network import (
        GivenNetwork,
        OwnNetwork,
        WorkerNetwork,
        outbound,
        worker_network,
    )
    from celeriac.cdk.environment import Environment
    from celeriac.cdk.grants import grant, grant_mail, grant_repair
    from celeriac.cdk.mail import Mail, MailDomain, most_workers
    from celeriac.cdk.nag import accept
    from celeriac.cdk.operations import Operations
    from celeriac.cdk.options import (
        Domain,
        ExistingVpc,
        GitHub,
        Jwt,
        Network,
        WarmThroughput,
    )
    from celeriac.cdk.outputs import URL_OUTPUT, output_id, variables
    from celeriac.cdk.single import Celeriac
    from celeriac.cdk.sources import Sources, SourcesError
    from celeriac.cdk.task_api import TaskApi
    from celeriac.cdk.task_data import TaskData
    from celeriac.cdk.worker_fleets import WorkerFleets

#: The module of each name.
_HOMES = {
    "constructs.network": (
        "GivenNetwork",
        "OwnNetwork",
        "WorkerNetwork",
        "outbound",
        "worker_network",
    ),
    "environment": ("Environment",),
    "grants": ("grant", "grant_mail", "grant_repair"),
    "mail": ("Mail", "MailDomain", "most_workers"),
    "nag": ("accept",),
    "operations": ("Operations",),
    "options": ("Domain", "ExistingVpc", "GitHub", "Jwt", "Network", "WarmThroughput"),
    "outputs": ("URL_OUTPUT", "output_id", "variables"),
    "single": ("Celeriac",),
    "sources": ("Sources", "SourcesError"),
    "task_api": ("TaskApi",),
    "task_data": ("TaskData",),
    "worker_fleets": ("WorkerFleets",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "URL_OUTPUT",
    "Celeriac",
    "Domain",
    "Environment",
    "ExistingVpc",
    "GitHub",
    "GivenNetwork",
    "Jwt",
    "Mail",
    "MailDomain",
    "Network",
    "Operations",
    "OwnNetwork",
    "Sources",
    "SourcesError",
    "TaskApi",
    "TaskData",
    "WarmThroughput",
    "WorkerFleets",
    "WorkerNetwork",
    "accept",
    "grant",
    "grant_mail",
    "grant_repair",
    "most_workers",
    "outbound",
    "output_id",
    "variables",
    "worker_network",
]


def __getattr__(name: str) -> Any:
    """The public name, imported now (PEP 562)."""
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'celeriac.cdk' has no attribute {name!r}")
    value = getattr(import_module(f"celeriac.cdk.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
