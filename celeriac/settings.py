"""The settings of a deployment: one typed class, read from ``CELERIAC_…`` variables.

Region, credentials and endpoint are AWS's own variables, which boto3 reads:
``AWS_DEFAULT_REGION``, ``AWS_ENDPOINT_URL`` and others. ``docs/settings.md`` is generated from the
descriptions here.
"""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AnyUrl,
    BeforeValidator,
    EmailStr,
    Field,
    Secret,
    TypeAdapter,
    UrlConstraints,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from celeriac.contract import Queue
from celeriac.contract.errors import Picklable
from celeriac.contract.queues import HIGH
from celeriac.contract.variables import PREFIX
from celeriac.origins import origin

#: API Gateway's HTTP API ends a request after 30 s. The Lambda's time-out is computed from this.
LONGEST_WAIT = timedelta(seconds=25)
#: A partition of a DynamoDB table takes 1,000 writes a second; a caller's count is in one.
#: docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html
MOST_REQUESTS_PER_KEY = 60_000
#: What such a count takes in a day.
MOST_MAILS = MOST_REQUESTS_PER_KEY * 24 * 60
#: Counting a tenant's unfinished tasks reads an index entry for each.
MOST_WAITING = 100_000
#: Making a schedule counts those of its tenant, and AWS keeps 10 million in a region.
#: docs.aws.amazon.com/scheduler/latest/UserGuide/scheduler-quotas.html
MOST_SCHEDULES = 100_000
#: The text of a variable whose setting has no value.
NULL = "null"
PLACEHOLDERS = ("changeme", "example.com", "example.org", "placeholder", "todo")

#: The names of tenants. S3 keys and index keys begin with one, so it holds no "/" and no "#".
TENANT = r"[a-z0-9][a-z0-9-]{0,62}"

Bytes = Annotated[int, Field(gt=0)]
SmtpUrl = Annotated[
    AnyUrl, UrlConstraints(allowed_schemes=["smtp", "smtps"], host_required=True, max_length=2_000)
]


def _split(value: Any) -> Any:
    """The parts of a variable, which has commas between them."""
    return [part for part in value.split(",") if part] if isinstance(value, str) else value


#: ``NoDecode``: a variable holds commas, not JSON.
WebOrigins = Annotated[
    tuple[Annotated[str, AfterValidator(origin)], ...], NoDecode, BeforeValidator(_split)
]


class PlaceholderError(Picklable, ValueError):
    """A deployment was given a value that belongs in an example."""

    def __init__(self, variables: list[str]) -> None:
        super().__init__(
            f"Placeholder values are left in {', '.join(variables)}. "
            "Set the real ones, or CELERIAC_ENVIRONMENT=local on a developer's machine."
        )
        self.variables = variables


class Settings(BaseSettings):
    """Every setting, its unit and its default."""

    # An error names the variable and the fault, never the value, which may be a secret.
    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_parse_none_str=NULL,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    environment: str = Field(
        "local",
        description="`local` on a developer's machine; any other value, such as `prod`, is a "
        "deployment.",
    )
    table_name: str = Field("celeriac", description="The DynamoDB table of task records.")
    bucket_name: str = Field("celeriac", description="The S3 bucket of artifacts.")
    queue_url_prefix: str = Field(
        "http://127.0.0.1:5000/123456789012/celeriac-",
        description="The first part of every queue's URL; the queue's name follows.",
    )
    queue_arn_prefix: str = Field(
        "arn:aws:sqs:us-east-1:123456789012:celeriac-",
        description="The first part of every queue's ARN; the queue's name follows.",
    )
    schedule_group: str = Field("celeriac", description="The EventBridge Scheduler group.")
    beat_file: Path | None = Field(
        None,
        description="The entries of `beat_schedule`, for processes that don't import the project's "
        "Celery app. The deployment writes the file.",
    )
    schedule_target_arn: str = Field(
        "arn:aws:lambda:us-east-1:123456789012:function:celeriac-fire",
        description="The function that EventBridge Scheduler calls when a schedule, or a task "
        "delayed by over 15 minutes, is due.",
    )
    schedule_role_arn: str = Field(
        "arn:aws:iam::123456789012:role/celeriac-schedules",
        description="The role that EventBridge Scheduler assumes to call that function.",
    )
    schedule_dead_letter_arn: str = Field(
        "arn:aws:sqs:us-east-1:123456789012:celeriac-schedules-dead-letter",
        description="The queue that keeps what a schedule could not fire.",
    )
    cluster_name: str | None = Field(
        None,
        description="The ECS cluster of the workers. The API and workers wake its sleeping "
        "services, and each worker checks whether it is surplus. A service has its queue's "
        "name. `null` where workers don't run on ECS.",
    )
    mail_from: EmailStr | None = Field(
        "celeriac@example.com",
        description="The verified SES identity that sends mail; `null` sends none.",
    )
    mail_configuration_set: str | None = Field(
        None,
        description="The SES configuration set that mail is sent with, which publishes bounces and "
        "complaints. `null` leaves it to the identity.",
    )
    mail_max_bytes: Bytes = Field(
        10 * 10**6,
        le=40 * 10**6,
        description="The largest mail sent, in bytes, with its attachments encoded. SES takes up "
        "to 40 MB and slows down above 10 MB; many mailboxes refuse more than 20 MB.",
    )
    smtp_url: Secret[SmtpUrl] | None = Field(
        None,
        description="Send mail through this SMTP server instead of SES: "
        "`smtp://user:password@host:587` (STARTTLS where offered, required to log in) or "
        "`smtps://user:password@host:465`. Percent-encode special characters. A secret.",
    )
    tenant: str = Field(
        "default",
        pattern=f"^{TENANT}$",
        description="The tenant of tasks that Python code submits without naming one.",
    )
    include: str = Field(
        "",
        description="Modules with plain Celery tasks (`@shared_task`) outside the task packages, "
        "separated by commas. Workers import them.",
    )
    record_ttl: timedelta = Field(
        timedelta(days=7),
        gt=timedelta(0),
        description="How long task records, results and artifacts are kept.",
    )
    upload_ttl: timedelta = Field(
        timedelta(days=1), gt=timedelta(0), description="How long an uploaded file is kept."
    )
    visibility: timedelta = Field(
        timedelta(seconds=60),
        ge=timedelta(seconds=5),
        le=timedelta(hours=1),
        description="How long a received message stays hidden, and a lease lasts, without renewal.",
    )
    most_crashes: int = Field(
        3,
        ge=1,
        le=10,
        description="How many processes may die at a task before it counts as poison.",
    )
    most_workers_lost: int = Field(
        10,
        ge=1,
        le=15,
        description="How many whole workers may be lost at a task before it counts as poison. "
        "Each is lost with all its tasks, so most often it isn't the task's fault. SQS itself "
        "dead-letters a message after 20 receives.",
    )
    drain_window: timedelta = Field(
        timedelta(seconds=100),
        ge=timedelta(0),
        le=timedelta(seconds=110),
        description="How long a stopping worker waits for its running tasks. Fargate kills it "
        "after `stopTimeout`, 120 s at most.",
    )
    max_request_bytes: Bytes = Field(
        4 * 2**20,
        description="The largest HTTP body accepted, in bytes. A Lambda takes 6 MB, including JSON "
        "escapes.",
    )
    max_upload_bytes: Bytes = Field(
        256 * 2**20, description="The largest file, in bytes, for which POST /files returns a link."
    )
    longest_wait: timedelta = Field(
        LONGEST_WAIT,
        ge=timedelta(0),
        le=LONGEST_WAIT,
        description="The longest that GET /tasks/{id}?wait= holds a request. API Gateway ends a "
        "request after 30 s, and the Lambda's own time-out must lie in between.",
    )
    listing_shards: int = Field(
        1, ge=1, le=64, description="The number of partitions that hold a tenant's listing."
    )
    api_key_cache: timedelta = Field(
        timedelta(seconds=60),
        ge=timedelta(0),
        description="How long an API process caches a key that it has looked up.",
    )
    token_tenant_claim: str | None = Field(
        None,
        description="The claim that names a caller's tenant, in tokens that API Gateway's "
        "authorizer has verified. `null` accepts keys only.",
    )
    token_scope_prefix: str = Field(
        "",
        description="The prefix of `submit`, `read`, `cancel` and `admin` in a token's scopes, "
        "such as a Cognito resource server's `tasks/`.",
    )
    docs: bool = Field(
        True,
        description="Whether the API serves `/docs` and `/openapi.json`, which list all task types "
        "to callers without a key.",
    )
    requests_per_key: int | None = Field(
        None,
        ge=1,
        le=MOST_REQUESTS_PER_KEY,
        description="How many requests a minute one API key may send, or one subject of a tenant's "
        "tokens. Each request then costs a write. `null` sets no limit.",
    )
    requests_per_tenant: int | None = Field(
        None,
        ge=1,
        le=MOST_REQUESTS_PER_KEY,
        description="How many requests a minute one tenant may send, all its keys and tokens "
        "together. Each request then costs a write. `null` sets no limit.",
    )
    waiting_per_tenant: int | None = Field(
        None,
        ge=1,
        le=MOST_WAITING,
        description="How many unfinished tasks one tenant may have when it submits another: those "
        "that wait, delayed ones included, and those that run. `null` sets no limit.",
    )
    mails_per_tenant: int | None = Field(
        None,
        ge=1,
        le=MOST_MAILS,
        description="How many tasks of types that send mail one tenant may submit a day (UTC). "
        "`null` sets no limit.",
    )
    schedules_per_tenant: int = Field(
        1_000,
        ge=1,
        le=MOST_SCHEDULES,
        description="How many schedules one tenant may have when it makes another. Those that code "
        "declares don't count.",
    )
    web_origins: WebOrigins = Field(
        (),
        description="The web pages that may call the API from a browser: their origins, such as "
        "`https://app.shop.net,http://localhost:5173`.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="The lowest level of log lines that are written."
    )

    @property
    def deployed(self) -> bool:
        """Whether this is a deployment, which refuses placeholders."""
        return self.environment != "local"

    def queue_url(self, queue: Queue, priority: str | None = None) -> str:
        """The URL in SQS of the lane of a queue that carries tasks of this priority."""
        return self.queue_url_prefix + (queue.high_name if priority == HIGH else queue.name)

    def lane_urls(self, queue: Queue) -> tuple[str, str]:
        """The URLs in SQS of a queue's lanes, normal and high."""
        return self.queue_url(queue), self.queue_url(queue, HIGH)

    def dead_letter_url(self, queue: Queue) -> str:
        """The URL of a queue's dead-letter queue in SQS."""
        return self.queue_url_prefix + queue.dead_letter_name

    def to_environment(self, *, secrets: bool = False) -> dict[str, str]:
        """The variables, by name, that pass these settings to another process.

        CDK tokens are ordinary strings, so the CDK code fills in a ``Settings`` too, and each
        variable's name exists once. A setting that is None by default and now has no variable.
        Secrets are left out unless ``secrets`` is true: a template shows its environment to every
        reader, so a deployment takes secrets from Secrets Manager.
        """
        return {
            f"{PREFIX}{name}".upper(): _to_text(value)
            for name, field in type(self).model_fields.items()
            if ((value := getattr(self, name)) is not None or field.default is not None)
            and (secrets or not isinstance(value, Secret))
        }

    @model_validator(mode="after")
    def _refuse_placeholders(self) -> Self:
        if not self.deployed:
            return self
        found = [
            f"{PREFIX}{name}".upper()
            for name in type(self).model_fields
            if isinstance(value := getattr(self, name), str | Secret | tuple)
            and any(word in _to_text(value).lower() for word in PLACEHOLDERS)
        ]
        if found:
            raise PlaceholderError(found)
        return self


def _to_text(value: Any) -> str:
    if value is None:
        return NULL
    if isinstance(value, Secret):
        return str(value.get_secret_value())
    if isinstance(value, str):
        return value
    if isinstance(value, tuple):
        return ",".join(value)
    text = TypeAdapter(type(value)).dump_json(value).decode()
    return text.removeprefix('"').removesuffix('"')


def explain(error: ValidationError) -> str:
    """The faults of the settings, in one line that names the variables."""
    return "; ".join(
        ": ".join(
            [
                *(f"{PREFIX}{name}".upper() for name in each["loc"][:1]),
                each["msg"].removeprefix("Value error, "),
            ]
        )
        for each in error.errors(include_url=False, include_input=False, include_context=False)
    )


@cache
def settings() -> Settings:
    """The settings of this process, read once.

    Raises:
        pydantic.ValidationError: a variable has a wrong value, or a placeholder when deployed.
    """
    return Settings()
