"""Provisioning, derived from the catalogue."""
