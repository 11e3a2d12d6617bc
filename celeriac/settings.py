"""The settings of a deployment: one typed class, read from ``CELERIAC_…`` variables.

Region, credentials and endpoint are AWS's own variables (``AWS_REGION``, ``AWS_ENDPOINT_URL``, …),
read by boto3. Everything here is documented where it stands; ``docs/settings.md`` is made from it.
"""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AnyUrl,
    EmailStr,
    Field,
    Secret,
    TypeAdapter,
    UrlConstraints,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from tasks.contract import Queue

PREFIX = "CELERIAC_"
#: An HTTP API of API Gateway gives up after 30 s; the Lambda's time-out is made from this.
LONGEST_WAIT = timedelta(seconds=25)
#: How a variable says that a setting has no value.
NULL = "null"
PLACEHOLDERS = ("changeme", "example.com", "example.org", "placeholder", "todo")

#: What a tenant may be called. Tenants begin S3 keys and index keys, so they hold no "/" and "#".
TENANT = r"[a-z0-9][a-z0-9-]{0,62}"

Bytes = Annotated[int, Field(gt=0)]
SmtpUrl = Annotated[
    AnyUrl, UrlConstraints(allowed_schemes=["smtp", "smtps"], host_required=True, max_length=2_000)
]


class PlaceholderError(ValueError):
    """A deployed system was given a value that only an example would have."""

    def __init__(self, variables: list[str]) -> None:
        super().__init__(
            f"{', '.join(variables)} still hold placeholder values. "
            "Set the real ones, or CELERIAC_ENVIRONMENT=local on a laptop."
        )
        self.variables = variables


class Settings(BaseSettings):
    """Every setting, its unit and its default."""

    # An error names the variable and the fault, never the value: it may be a secret.
    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_parse_none_str=NULL,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    environment: str = Field(
        "local", description="`local` on a laptop; anything else is a deployment, e.g. `prod`."
    )
    table_name: str = Field("celeriac", description="The DynamoDB table of task records.")
    bucket_name: str = Field("celeriac", description="The S3 bucket of artifacts.")
    queue_url_prefix: str = Field(
        "http://127.0.0.1:5000/123456789012/celeriac-",
        description="What every queue's URL begins with; the queue's name follows.",
    )
    queue_arn_prefix: str = Field(
        "arn:aws:sqs:us-east-1:123456789012:celeriac-",
        description="What every queue's ARN begins with: schedules name their target by it.",
    )
    schedule_group: str = Field("celeriac", description="The EventBridge Scheduler group.")
    schedule_role_arn: str = Field(
        "arn:aws:iam::123456789012:role/celeriac-schedules",
        description="The role that EventBridge Scheduler takes to send a message.",
    )
    schedule_dead_letter_arn: str = Field(
        "arn:aws:sqs:us-east-1:123456789012:celeriac-schedules-dead-letter",
        description="The queue that keeps what a schedule could not send.",
    )
    cluster_name: str | None = Field(
        None,
        description="The ECS cluster whose sleeping services the API and workers wake, and whose "
        "workers look which of them are to go; a service is named as its queue. `null` where "
        "workers don't run on ECS.",
    )
    worker_log_group: str | None = Field(
        None, description="The CloudWatch log group of the workers; `null` where there is none."
    )
    mail_from: EmailStr | None = Field(
        "celeriac@example.com",
        description="The verified SES identity that mail is sent from; `null` sends no mail.",
    )
    mail_max_bytes: Bytes = Field(
        10 * 10**6,
        le=40 * 10**6,
        description="The largest mail sent, in bytes, attachments encoded. SES takes 40 MB, and "
        "slows down above 10 MB; many mailboxes refuse more than 20 MB.",
    )
    smtp_url: Secret[SmtpUrl] | None = Field(
        None,
        description="Send mail through this SMTP server, not SES: `smtp://user:password@host:587` "
        "(STARTTLS where offered, required to log in) or `smtps://user:password@host:465`. "
        "Percent-encode special characters. A secret.",
    )
    tenant: str = Field(
        "default",
        pattern=f"^{TENANT}$",
        description="Whose tasks they are when Python code submits without naming a tenant.",
    )
    include: str = Field(
        "",
        description="Modules with plain Celery tasks (`@shared_task`), with commas between: "
        "workers import them.",
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
        description="How long a received message, and a claimed task's lease, last unrenewed.",
    )
    drain_window: timedelta = Field(
        timedelta(seconds=100),
        ge=timedelta(0),
        le=timedelta(seconds=110),
        description="How long a worker that is told to stop lets running tasks finish. Fargate "
        "kills it after `stopTimeout`, 120 s at most.",
    )
    max_request_bytes: Bytes = Field(
        4 * 2**20,
        description="The largest HTTP body accepted. A Lambda takes 6 MB, JSON escapes included.",
    )
    max_upload_bytes: Bytes = Field(
        256 * 2**20, description="The largest file that POST /files gives a link for."
    )
    longest_wait: timedelta = Field(
        LONGEST_WAIT,
        ge=timedelta(0),
        le=LONGEST_WAIT,
        description="The longest that GET /tasks/{id}?wait= holds a request. An HTTP API of API "
        "Gateway gives up after 30 s, and the Lambda's own time-out must lie in between.",
    )
    listing_shards: int = Field(
        1, ge=1, le=64, description="Over how many partitions a tenant's listing is spread."
    )
    api_key_cache: timedelta = Field(
        timedelta(seconds=60),
        ge=timedelta(0),
        description="How long an API process trusts a key it has looked up.",
    )
    token_tenant_claim: str | None = Field(
        None,
        description="The claim that names a caller's tenant, in tokens that API Gateway's "
        "authorizer has verified. `null` takes no tokens: callers have keys.",
    )
    token_scope_prefix: str = Field(
        "",
        description="What stands before `submit`, `read`, `cancel` and `admin` in a token's "
        "scopes, such as a Cognito resource server's `tasks/`.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="What is logged, at least."
    )

    @property
    def deployed(self) -> bool:
        """Whether this is a deployment, where placeholders are refused."""
        return self.environment != "local"

    def queue_url(self, queue: Queue) -> str:
        """The URL of a queue in SQS."""
        return self.queue_url_prefix + queue.queue_name

    def dead_letter_url(self, queue: Queue) -> str:
        """The URL of a queue's dead-letter queue in SQS."""
        return self.queue_url_prefix + queue.dead_letter_name

    def to_environment(self, *, secrets: bool = False) -> dict[str, str]:
        """The variables that give these settings to another process, by name.

        CDK tokens are ordinary strings, so infra fills in a ``Settings`` too and each variable's
        name exists once. A setting that is unset by default and stays so has no variable. Secrets
        are left out unless asked for: a template or a task definition shows its environment to
        everyone who may read it, so there they come from Secrets Manager.
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
            if isinstance(value := getattr(self, name), str | Secret)
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
    text = TypeAdapter(type(value)).dump_json(value).decode()
    return text.removeprefix('"').removesuffix('"')


def explain(error: ValidationError) -> str:
    """What is wrong with the settings, in one line that names the variables."""
    return "; ".join(
        ": ".join([*(f"{PREFIX}{name}".upper() for name in each["loc"][:1]), each["msg"]])
        for each in error.errors(include_url=False, include_input=False, include_context=False)
    )


@cache
def settings() -> Settings:
    """The settings of this process, read once.

    Raises:
        pydantic.ValidationError: a variable has a wrong value, or a placeholder when deployed.
    """
    return Settings()
