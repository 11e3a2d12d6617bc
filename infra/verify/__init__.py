"""Trying a deployment: each claim that the pages make of AWS is a check of its own.

``python -m infra.verify dev`` (``make verify ENV=dev``) tries a deployed stack, and
reports what held. ``--moto`` (``make verify-moto``) deploys to moto first, and tries what moto can
show.
"""
