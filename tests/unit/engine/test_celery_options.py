"""Options that a Celery project brings: each holds, is ignored with a line, or is refused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from celery import _state
from celery.beat import Scheduler
from kombu import Queue as KombuQueue

from celeriac import Catalogue, Celeriac, Queue
from celeriac.app import factory
from celeriac.app.amqp import UnknownQueueError
from celeriac.app.options import OptionRefusedError
from celeriac.records import TaskRecord
from celeriac.settings import Settings
from celeriac.storage.services import services

VIDEO = Queue("video")


@pytest.fixture(autouse=True)
def current_app() -> Iterator[None]:
    before = _state._get_current_app()
    yield
    _state._set_current_app(before)


def nothing() -> None:
    """What a task does that is never run."""


def shop(aws: Settings, **options: Any) -> Celeriac:
    """An app with a plain task, which SQS has the queues for."""
    app = Celeriac("shop", settings=aws, catalogue=Catalogue([]), queues=[VIDEO], **options)

    @app.task(name="shop.tasks.cut", shared=False)
    def cut(film: object = None) -> None: ...

    return app


def sent(app: Celeriac, *args: object, **options: Any) -> TaskRecord:
    """The record of a task that was sent."""
    services().sqs.create_queue(QueueName=app.settings.queue_url(VIDEO).rpartition("/")[2])
    record = services().records.get(app.tasks["shop.tasks.cut"].apply_async(args, **options).id)
    assert record is not None
    return record


@pytest.mark.parametrize(
    "routes",
    [
        {"shop.tasks.cut": "video"},
        {"shop.tasks.*": {"queue": "video", "routing_key": "video.hd"}},
        ([("shop.*", {"queue": "video", "exchange": "media"})],),
        lambda name, *_, **__: {"queue": "video"},
    ],
)
def test_task_routes_hold(aws: Settings, routes: Any) -> None:
    """By name, by glob, by list and by function; a routing key has no meaning and no effect."""
    app = shop(aws)
    app.conf.task_routes = routes

    assert sent(app).queue == "video"


def test_a_task_goes_where_its_own_call_says(aws: Settings) -> None:
    """``queue=`` is a name, or the queue itself."""
    assert sent(shop(aws), queue="video").queue == "video"
    assert sent(shop(aws), queue=VIDEO).queue == "video"
    assert sent(shop(aws)).queue == "default"


def test_the_default_queue_is_the_users_to_choose(aws: Settings) -> None:
    """One that is declared."""
    app = shop(aws)
    app.conf.task_default_queue = "video"

    assert sent(app).queue == "video"


@pytest.mark.parametrize(
    "settings",
    [
        {"task_routes": {"shop.*": "audio"}},
        {"task_default_queue": "audio"},
        {"task_queues": [KombuQueue("audio")]},
    ],
)
def test_a_setting_that_names_no_queue_names_the_fix(
    aws: Settings, settings: dict[str, Any]
) -> None:
    """Nothing is written, and the error has the line to write."""
    app = shop(aws)
    app.conf.update(settings)

    with pytest.raises(UnknownQueueError, match=r"Declare it with Queue\('audio'\)"):
        sent(app)


@pytest.mark.parametrize("queue", ["audio", KombuQueue("audio"), Queue("audio")])
def test_a_call_that_names_no_queue_names_the_fix(aws: Settings, queue: Any) -> None:
    """Whatever it is named by; no record is left behind."""
    app = shop(aws)

    with pytest.raises(UnknownQueueError, match="Declared are: default, video"):
        app.send_task("shop.tasks.cut", task_id="nowhere", queue=queue)

    assert services().records.get("nowhere") is None


@pytest.mark.filterwarnings("ignore::celery.exceptions.CDeprecationWarning")
def test_a_shared_task_that_names_no_queue_names_the_fix(aws: Settings) -> None:
    """``@shared_task(queue="audio")`` is a call's option like any other."""
    app = shop(aws)
    app.task(name="shop.tasks.hear", queue="audio", shared=False)(nothing)

    with pytest.raises(UnknownQueueError, match="audio"):
        app.tasks["shop.tasks.hear"].delay()


@pytest.mark.parametrize("setting", ["task_serializer", "result_serializer"])
def test_pickle_is_refused(aws: Settings, setting: str) -> None:
    """A task would be given something else than its caller passed."""
    app = shop(aws)
    app.conf.update({setting: "pickle"})

    with pytest.raises(OptionRefusedError, match=f"{setting}='pickle' is refused"):
        app.conf.timezone  # noqa: B018 - the configuration is read when first needed


def test_pickle_is_refused_for_a_call(aws: Settings) -> None:
    """Of the call itself, and of its task."""
    app = shop(aws)
    app.task(name="shop.tasks.keep", serializer="pickle", shared=False)(nothing)

    with pytest.raises(OptionRefusedError, match="ids, text, numbers"):
        sent(app, serializer="pickle")
    with pytest.raises(OptionRefusedError, match="ids, text, numbers"):
        app.tasks["shop.tasks.keep"].delay()


@pytest.mark.parametrize(
    "options", [{"compression": "gzip"}, {"priority": 9}, {"routing_key": "video.hd"}]
)
def test_what_only_another_broker_understands_has_no_effect(
    aws: Settings, options: dict[str, Any]
) -> None:
    """The task is sent as it would be without."""
    assert sent(shop(aws), "film", **options).queue == "default"


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("broker_url", "redis://localhost"),
        ("broker_transport_options", {"visibility_timeout": 3600}),
        ("result_backend", "redis://localhost"),
        ("result_expires", 60),
        ("task_acks_late", False),
        ("worker_enable_remote_control", True),
        ("worker_prefetch_multiplier", 4),
    ],
)
def test_what_has_no_effect_is_logged(
    aws: Settings, caplog: pytest.LogCaptureFixture, setting: str, value: Any
) -> None:
    """One line names the setting and the reason. Celeriac's own value holds."""
    app = shop(aws)
    app.conf.update({setting: value})

    assert app.conf[setting] != value
    assert caplog.text.count(f"Celery's setting {setting} is ignored") == 1


def test_settings_that_agree_are_not_logged(
    aws: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor are those that are the user's: they hold."""
    app = shop(aws, accept_content=("json",))
    app.conf.update(task_acks_late=True, worker_concurrency=3, worker_max_tasks_per_child=7)

    assert (app.conf.worker_concurrency, app.conf.worker_max_tasks_per_child) == (3, 7)
    assert not caplog.records


def test_the_brokers_variable_has_no_effect(
    aws: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """``CELERY_BROKER_URL`` is stronger than any setting of Celery's, and not than SQS."""
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://localhost")
    monkeypatch.setenv("CELERY_RESULT_BACKEND", "redis://localhost")
    app = shop(aws)

    assert sent(app).queue == "default"
    assert app.connection_for_read().transport_cls == "celeriac.transport:Transport"
    assert "broker_url is ignored" in caplog.text
    assert "result_backend is ignored" in caplog.text


def test_a_naive_time_is_in_the_apps_time_zone(aws: Settings) -> None:
    """``timezone="Asia/Tokyo"`` says what ``eta`` means, as in Celery."""
    app = shop(aws, timezone="Asia/Tokyo")
    due = datetime.now(UTC).replace(tzinfo=None, microsecond=0) + timedelta(days=30)

    record = sent(app, eta=due)

    assert record.due_at == due.replace(tzinfo=ZoneInfo("Asia/Tokyo")).timestamp() * 1000


def test_modules_to_import_are_the_users_and_the_settings(aws: Settings) -> None:
    """``imports`` and ``CELERIAC_INCLUDE`` add up; ``include=`` is Celery's own."""
    app = shop(aws.model_copy(update={"include": "shop.more"}), include=["shop.tasks"])
    app.conf.update(imports=["shop.prices"])

    assert app.conf.imports == ("shop.prices", "shop.more")
    assert list(app.conf.include) == ["shop.tasks"]


def test_eager_tasks_run_at_once(aws: Settings) -> None:
    """``task_always_eager`` sends nothing, whatever the queue."""
    app = shop(aws, task_always_eager=True)

    assert app.tasks["shop.tasks.cut"].delay().successful()


def test_celery_beat_sends_what_is_due(aws: Settings) -> None:
    """``beat_schedule`` and ``add_periodic_task`` are Celery's, for ``celery beat`` to send."""
    app = shop(aws)
    app.conf.beat_schedule = {
        "cut": {"task": "shop.tasks.cut", "schedule": 60, "options": {"queue": "video"}}
    }
    services().sqs.create_queue(QueueName=aws.queue_url(VIDEO).rpartition("/")[2])
    beat = Scheduler(app)

    sent_now = beat.apply_async(beat.schedule["cut"], producer=beat.producer, advance=False)

    record = services().records.get(sent_now.id)
    assert record is not None
    assert record.queue == "video"


def test_the_process_has_the_projects_own_app(aws: Settings) -> None:
    """``submit`` and the API send through it, so that its queues hold there too."""
    factory.forget()
    try:
        own = Celeriac("shop", queues=[VIDEO])

        assert factory.celery_app() is own
        assert VIDEO in own.catalogue.queues
    finally:
        factory.forget()
