from __future__ import annotations

from typing import Any

import pytest
from celery import chain, chord
from celery.canvas import Signature
from celery.result import AsyncResult

from celeriac import states
from celeriac.app import CeleriacApp
from celeriac.services import services
from tests.unit.delivery.single_worker import SingleWorker


@pytest.mark.parametrize("shape", ["chain", "chord"])
def test_what_fails_with_a_task_is_its_tenants(
    app: CeleriacApp, worker: SingleWorker, shape: str
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
def test_a_chords_body_is_its_tenants(app: CeleriacApp, worker: SingleWorker, how: str) -> None:
    """Whoever sends it: also where no attempt holds the last member's task any more."""
    double, total = app.tasks["double"], app.tasks["total"]
    result = sent_by_acme(app, chord([double.s(1)], total.s()))
    request = worker.receive()
    assert request is not None
    services().records.claim(request.id, 1, request.owner, 2**42)
    services().records.finish(request.id, request.owner, states.SUCCESS, result='={"result": 2}')
    if how == "by a later delivery":
        worker.run(request)
    else:
        app.backend.on_chord_part_return(request._context, states.SUCCESS, 2)

    record = services().records.get(result.id)
    assert record is not None
    assert record.tenant == "acme"


def sent_by_acme(app: CeleriacApp, canvas: Signature) -> AsyncResult[Any]:
    tenant, app.conf.celeriac_tenant = app.conf.celeriac_tenant, "acme"
    try:
        return canvas.delay()
    finally:
        app.conf.celeriac_tenant = tenant
