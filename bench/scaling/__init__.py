"""A simulation of the scaling policies of ``celeriac.cdk.scaling``: ``python -m bench.scaling``."""
