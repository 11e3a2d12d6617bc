"""The CDK app of the rehearsal: ``dev``, with a sender of mail."""

from __future__ import annotations

from dataclasses import replace

from aws_cdk import App

from infra.cdk.app import compose
from infra.cdk.environments import DEV
from tasks.contract import catalogue

ENVIRONMENT = replace(DEV, mail_from="tasks@celeriac.dev")

if __name__ == "__main__":
    app = App()
    compose(app, ENVIRONMENT, catalogue())
    app.synth()
