from __future__ import annotations

from typing import Any

import pytest
from celery import chain, chord
from celery.canvas import Signature
from celery.result import AsyncResult

from celeriac import states
from celeriac.app.factory import Celeriac
from celeriac.storage.services import services
from tests.unit.delivery.single_worker import SingleWorker


@pytest.mark.parametrize("shape", ["chain", "chord"])
def test_what_fails_with_a_task_is_its_tenants(
    app: Celeriac, worker: SingleWorker, shape: str
) -> None:
    """A step that is never sent, because the one before it failed, has its record where its tenant
    finds it, and nobody else."""
    fail, add, total = (app.tasks[name] for name in ("fail", "add", "total"))
    canvas: Signature = (
        chain(fail.s(), add.s(1)) if shape == "chain" else chord([fail.s()], total.s())
    )
    result = sent_by_acme(app, canvas)

    worker.run_all()

    record = services().records.get(result.id)
    assert record is not None
    assert (record.tenant, record.state) == ("acme", states.FAILURE)


@pytest.mark.parametrize("how", ["by a later delivery", "in the main process"])
def test_a_chords_body_is_its_tenants(app: Celeriac, worker: SingleWorker, how: str) -> None:
    """It is sent also where no attempt holds the last member's task any more."""
    double, total = app.tasks["double"], app.tasks["total"]
    result = sent_by_acme(app, chord([double.s(1)], total.s()))
    request = worker.take()
    services().records.claim(request.id, 1, request.owner, 2**42)
    services().records.finish(request.id, request.owner, states.SUCCESS, result='={"result": 2}')
    if how == "by a later delivery":
        worker.run(request)
    else:
        app.backend.on_chord_part_return(request._context, states.SUCCESS, 2)

    record = services().records.get(result.id)
    assert record is not None
    assert record.tenant == "acme"


def sent_by_acme(app: Celeriac, canvas: Signature) -> AsyncResult[Any]:
    before = app.settings
    app._settings = before.model_copy(update={"tenant": "acme"})
    try:
        return canvas.delay()
    finally:
        app._settings = before
