"""The Lambda handler of a project that has none of its own: ``celeriac.http.handler.handler``.

It serves the app that ``CELERIAC_API`` names as ``module:attribute``, or else Celeriac's API alone.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from celeriac.http.app import create_app
from celeriac.http.function import lambda_handler
from celeriac.project import project


def _app() -> Any:
    if "CELERIAC_API" not in os.environ:
        return create_app()
    module, _, attribute = project().api.partition(":")
    return getattr(import_module(module), attribute)


handler = lambda_handler(_app())
