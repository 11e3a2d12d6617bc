"""The CDK app of the rehearsal: ``dev``, with a sender of mail and quotas.

Its leases are short, so that the tasks of a killed worker are taken over soon.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from aws_cdk import App

from celeriac import catalogue
from celeriac.cdk import Mail
from infra.cdk.app import compose
from infra.cdk.environments import DEV
from infra.rehearsal.secrets import PARAMETER

ENVIRONMENT = replace(
    DEV,
    mail=Mail(sender="tasks@celeriac.dev"),
    environment={"REHEARSED": "here"},
    waiting_per_tenant=1_000,
    mails_per_tenant=1_000,
    secrets={"REHEARSAL_TOKEN": PARAMETER},
    settings={"visibility": timedelta(seconds=20)},
)

if __name__ == "__main__":
    app = App()
    compose(app, ENVIRONMENT, catalogue())
    app.synth()
