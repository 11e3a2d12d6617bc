from __future__ import annotations

import pytest
from celery import Task

from celeriac import states
from celeriac.app import CeleriacApp
from tests.unit.delivery.single_worker import SingleWorker
from tests.unit.delivery.test_outages_at_the_end import state_of


@pytest.mark.parametrize("told", [states.PROGRESS, states.FAILURE])
@pytest.mark.parametrize("other", ["waiting", "over"])
def test_a_task_that_speaks_for_another_ends_well(
    app: CeleriacApp, worker: SingleWorker, told: str, other: str
) -> None:
    """``update_state(task_id=…)``: it holds its own task, and no other's. Once is how often it
    runs."""
    ran = []
    about = app.tasks["double"].apply_async((1,), countdown=600 if other == "waiting" else 0)
    worker.run_all()

    @app.task(name="teller", bind=True, shared=False)
    def teller(self: Task) -> None:
        ran.append(self.request.id)
        self.update_state(task_id=about.id, state=told, meta=ValueError("told"))

    result = teller.delay()
    worker.run_all()

    assert (ran, state_of(result.id)) == ([result.id], states.SUCCESS)
    assert worker.visible() + worker.hidden() == 0


def test_only_its_holder_says_how_far_a_task_is(app: CeleriacApp, worker: SingleWorker) -> None:
    """What another task says of it changes nothing; nobody could tell whether it is still so."""
    about = app.tasks["double"].apply_async((1,), countdown=600)

    @app.task(name="teller", bind=True, shared=False)
    def teller(self: Task) -> None:
        self.update_state(task_id=about.id, state="DIGGING", meta={"done": 1})

    teller.delay()
    worker.run_all()

    assert (about.state, about.info) == (states.PENDING, None)
