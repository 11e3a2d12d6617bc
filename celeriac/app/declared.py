"""The schedules that code declares: ``@task(schedule=…)``, and Celery's ``beat_schedule``.

They are deployed with the code. ``celery beat`` is not needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from celeriac.app import beat
from celeriac.app.declared_schedule import OF_TYPE, DeclaredSchedule, schedule_id
from celeriac.contract import Catalogue

if TYPE_CHECKING:
    from celeriac.app.sending import CeleriacApp


def declared(app: CeleriacApp) -> list[DeclaredSchedule]:
    """The schedules of an app's task types, then those of its ``beat_schedule``.

    A process that doesn't import the project's app, such as the API, reads the latter from the
    setting ``beat_file``.

    Raises:
        BeatScheduleError: an entry of ``beat_schedule`` can't be kept exactly.
        FileNotFoundError: there is no such file.
    """
    kept = app.settings.beat_file
    entries = beat.entries(app) if kept is None else beat.read(kept)
    return [*of_types(app.catalogue), *entries]


def of_types(catalogue: Catalogue) -> Iterator[DeclaredSchedule]:
    """The schedules of these task types."""
    for each in catalogue.values():
        for number, schedule in enumerate(each.schedules, 1):
            suffix = "" if number == 1 else f"-{number}"
            yield DeclaredSchedule(
                schedule_id=schedule_id(f"{OF_TYPE}{each.name}{suffix}"),
                type=each.name,
                schedule=schedule,
                where=str(each.place),
            )
