"""Deploying to AWS as moto plays it, with the real CDK command line, and running what came of it.

``python -m infra.rehearsal`` (``make deploy-moto``). No account, no Docker, nothing left behind.
"""
