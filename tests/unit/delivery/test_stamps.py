"""Celery's stamps reach the worker: a task's own, and those of its callbacks and errbacks."""

from __future__ import annotations

from typing import Any

import pytest
from celery.canvas import Signature, StampingVisitor

from celeriac.app import CeleriacApp
from tests.unit.delivery.single_worker import SingleWorker


class Stamp(StampingVisitor):
    """Stamps every signature with one order's number."""

    def on_signature(self, sig: Signature, **headers: Any) -> dict[str, Any]:
        return {"order": "1234"}


@pytest.mark.parametrize(("name", "link"), [("double", "link"), ("fail", "link_error")])
def test_a_stamp_goes_with_a_task_and_with_what_follows_it(
    app: CeleriacApp, worker: SingleWorker, name: str, link: str
) -> None:
    """Whoever listens to ``task_received`` in the worker finds it in each request."""
    signature = app.tasks[name].s(*[1] if name == "double" else ())
    getattr(signature, link)(app.tasks["double"].si(2))
    signature.stamp(visitor=Stamp())
    signature.apply_async()

    for _ in range(2):
        request = worker.receive()
        assert request is not None
        assert (request.stamped_headers, request.stamps) == (["order"], {"order": "1234"})
        worker.run(request)
    assert worker.receive() is None
