"""Deploying to moto with the real CDK command line, and running tasks on the result.

``python -m infra.rehearsal`` (``make deploy-moto``). No account, no Docker, nothing left behind.
"""
