"""The scaling policies of ``infra.cdk.scaling``, played: ``python -m bench.scaling``."""
