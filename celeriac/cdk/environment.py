"""What one deployment is: its name, its network, its limits. Plain data, without CDK."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from celeriac.cdk.mail import Mail
from celeriac.cdk.options import Domain, ExistingVpc, GitHub, Jwt, Network, WarmThroughput
from celeriac.cdk.scaling import FIT_WINDOWS, PERIOD
from celeriac.contract.places import whole
from celeriac.contract.variables import Policy, check_policy, check_secrets, check_variables
from celeriac.origins import origin
from celeriac.settings import MOST_MAILS, MOST_REQUESTS_PER_KEY, MOST_WAITING, Settings

# A resource name is the prefix, the name and a queue's name; the tightest limit is that of an IAM
# role, 64 characters.
LONGEST_NAME = 15
NAME = re.compile(rf"[a-z][a-z0-9-]{{0,{LONGEST_NAME - 1}}}")
#: The project of this repository's own deployments, and of any that names none.
PROJECT = "celeriac"
LONGEST_PREFIX = len(PROJECT) + 1 + LONGEST_NAME
PREFIX = re.compile(r"[a-z][a-z0-9-]*")
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")
_ZONE = re.compile(_REGION.pattern + "[a-z]")
#: A fleet shrinks once its alarm has seen so many windows, each of whole periods.
_IDLE_STEP = FIT_WINDOWS * PERIOD
#: ``kms_key`` for a key of the deployment's own.
CREATE = "create"
# Log groups and policies take no alias, and no id alone.
_KEY = re.compile(r"arn:aws[a-z-]*:kms:([a-z0-9-]+):\d{12}:key/[a-zA-Z0-9-]+")
#: Settings whose values the deployment makes, or that have a field of their own.
_DEPLOYED = frozenset(
    {
        "bucket_name",
        "cluster_name",
        "docs",
        "environment",
        "listing_shards",
        "mail_configuration_set",
        "mail_from",
        "queue_arn_prefix",
        "queue_url_prefix",
        "record_ttl",
        "mails_per_tenant",
        "requests_per_key",
        "requests_per_tenant",
        "schedule_dead_letter_arn",
        "schedule_group",
        "schedule_role_arn",
        "smtp_url",
        "table_name",
        "token_scope_prefix",
        "token_tenant_claim",
        "waiting_per_tenant",
        "web_origins",
    }
)


@dataclass(frozen=True, kw_only=True)
class Environment:
    """One deployment.

    ``project`` and ``name`` begin the names of all resources, so that several projects, each with
    several deployments, can share an account.

    ``protect`` keeps data safe from mistakes: termination protection, resources that outlive their
    stack, point-in-time recovery. ``network`` is how workers reach AWS. ``public``: they
    have addresses of their own, nothing listens, and there is no hourly price. ``nat``: private
    subnets behind one NAT gateway. ``endpoints``: private subnets without any way to the internet.

    ``mail`` is the sender; without it no mail is sent. Mail goes through SES, unless
    ``smtp_secret_arn`` names a secret of Secrets Manager that holds an SMTP server's URL. SMTP
    needs a network with a way to the internet, and nothing of SES.

    ``egress_ports`` are the TCP ports that workers may call besides 443, such as 5432 for Postgres.
    ``vpc`` is a network that exists, in place of one of the deployment's own.
    ``availability_zones`` are the zones of its own network, in place of the region's first two.

    ``environment``, ``secrets`` and ``policy`` are what the tasks of every queue may reach. A
    queue's ``Fleet`` has the same fields and adds to them. A function as ``policy`` is called with
    the role of each queue's workers, and with the queue if it takes two arguments.

    ``pip_config`` is a file of the project in pip's format that names a private index. The build of
    the workers' image reads it, and the image doesn't keep it.

    ``account`` and ``region`` are the only ones to deploy to. The default is those of the
    credentials. ``tags`` are on every resource. ``alarm_topic_arn`` is an SNS topic
    that gets the alarms, in place of one of the deployment's own.

    ``kms_key`` encrypts the data: ``create`` makes a key of the deployment's own, and the ARN of a
    key of KMS uses that one, whose policy must allow what ``docs/own-key.md`` lists. Without it
    AWS's keys do, which cost nothing.

    ``settings`` are settings of ``docs/settings.md``, by their names in ``Settings``, for all that
    the deployment runs: ``{"log_level": "WARNING", "longest_wait": timedelta(seconds=10)}``.

    ``runbook`` is the URL that the alarms' mails link to, if it isn't the repository's own page.

    ``reserved_concurrency`` is how many requests the API's function answers at a time. It is
    reserved from the account's concurrency. ``following_concurrency`` is the same for the function
    of ``GET /tasks/{task_id}``, where a long poll counts for as long as it waits.

    ``oldest_age`` is the objective for how long a message may wait; alarms watch it, and fleets
    grow to meet it. ``idle`` is how long a queue must be empty before its last worker stops.

    ``web_origins`` are the origins of the web pages that may call the API from a browser and upload
    to the bucket. ``requests_per_key`` is how many requests a minute one API key may send, or one
    subject of a tenant's tokens, and ``requests_per_tenant`` the same for a whole tenant.
    ``waiting_per_tenant`` is how many unfinished tasks a tenant may have, and ``mails_per_tenant``
    how many mails it may submit a day. Without them there is no limit. Without ``docs`` the
    API has no page and no OpenAPI document, which list the task types to callers without a key.
    """

    name: str
    protect: bool
    project: str = PROJECT
    network: Network = "public"
    mail: Mail | None = None
    smtp_secret_arn: str | None = None
    account: str | None = None
    region: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)
    vpc: ExistingVpc | None = None
    availability_zones: tuple[str, ...] = ()
    egress_ports: tuple[int, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict, hash=False)
    secrets: Mapping[str, str] = field(default_factory=dict, hash=False)
    policy: Policy = field(default=(), hash=False)
    pip_config: str | None = None
    settings: Mapping[str, object] = field(default_factory=dict, hash=False)
    alarm_email: str | None = None
    alarm_topic_arn: str | None = None
    runbook: str | None = None
    log_retention: timedelta = timedelta(days=30)
    record_ttl: timedelta = timedelta(days=7)
    listing_shards: int = 1
    warm_throughput: WarmThroughput | None = None
    oldest_age: timedelta = timedelta(minutes=5)
    idle: timedelta = timedelta(minutes=10)
    monthly_budget_usd: int = 50
    requests_per_second: int = 50
    request_burst: int = 100
    web_origins: tuple[str, ...] = ()
    requests_per_key: int | None = None
    requests_per_tenant: int | None = None
    waiting_per_tenant: int | None = None
    mails_per_tenant: int | None = None
    docs: bool = True
    lambda_memory_mib: int = 1024
    reserved_concurrency: int | None = None
    following_concurrency: int | None = None
    snap_start: bool = False
    jwt: Jwt | None = None
    domain: Domain | None = None
    kms_key: str | None = None
    github: GitHub | None = None

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name) or self.name == "local":
            raise ValueError(
                f"Environment(name={self.name!r}): use up to {LONGEST_NAME} lower-case letters, "
                "digits and dashes, beginning with a letter. 'local' is a developer's machine."
            )
        if not PREFIX.fullmatch(self.project) or len(self.prefix) > LONGEST_PREFIX:
            raise ValueError(
                f"Environment(project={self.project!r}, name={self.name!r}): use lower-case "
                "letters, digits and dashes, beginning with a letter, and at most "
                f"{LONGEST_PREFIX - 1} characters for both."
            )
        here = f"Environment(name={self.name!r})"
        if self.idle <= timedelta(0) or self.idle % _IDLE_STEP:
            raise ValueError(
                f"{here}: idle={self.idle} must be a multiple of {_IDLE_STEP}, such as "
                "timedelta(minutes=10): a fleet's alarms count in such steps."
            )
        if wrong := [each for each in self.egress_ports if not (whole(each) and each < 2**16)]:
            raise ValueError(f"{here}: egress_ports has {wrong[0]!r}, which is no TCP port.")
        self._check_callers(here)
        if unknown := sorted(set(self.settings) - Settings.model_fields.keys()):
            raise ValueError(
                f"{here}: there is no setting {unknown[0]!r}. docs/settings.md lists them. "
                "Write the name in lower case, without CELERIAC_."
            )
        if taken := sorted(set(self.settings) & _DEPLOYED):
            raise ValueError(
                f"{here}: the setting {taken[0]!r} is what the deployment itself makes, or a field "
                "of Environment. Leave it out of settings."
            )
        check_variables(here, self.environment, self.secrets)
        check_secrets(here, self.secrets)
        check_policy(here, self.policy)
        self._check_place(here)
        self._check_key(here)
        for name in ("reserved_concurrency", "following_concurrency"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{here}: {name}={value} refuses every request: give 1 or more.")
        if self.network == "endpoints" and self.smtp_secret_arn:
            raise ValueError(
                f"Environment(name={self.name!r}): network='endpoints' has no way to an SMTP "
                "server. Leave smtp_secret_arn out to mail through SES, or choose another "
                "network."
            )

    def _check_place(self, here: str) -> None:
        if self.account is not None and not re.fullmatch(r"\d{12}", self.account):
            raise ValueError(f"{here}: account={self.account!r} is no number of 12 digits.")
        if self.region is not None and not _REGION.fullmatch(self.region):
            raise ValueError(f"{here}: region={self.region!r} is no region, such as eu-central-1.")
        if bool(self.account) != bool(self.region):
            # The CDK knows where it deploys only if it knows both.
            raise ValueError(f"{here}: give account and region, or neither.")
        for zone in self.availability_zones:
            if not _ZONE.fullmatch(zone) or (self.region and not zone.startswith(self.region)):
                raise ValueError(f"{here}: {zone!r} is no zone of {self.region or 'a region'}.")
        if self.vpc and self.network != "public":
            raise ValueError(
                f"{here}: vpc takes the place of network={self.network!r}. Leave it out."
            )
        if self.vpc and self.availability_zones:
            raise ValueError(f"{here}: vpc brings its own zones. Leave availability_zones out.")
        if self.alarm_email and self.alarm_topic_arn:
            raise ValueError(
                f"{here}: alarm_topic_arn has its own subscribers. Leave alarm_email out."
            )
        if self.alarm_topic_arn and not self.alarm_topic_arn.startswith("arn:"):
            raise ValueError(
                f"{here}: alarm_topic_arn={self.alarm_topic_arn!r} is no ARN. Give that of an SNS "
                "topic, such as arn:aws:sns:eu-central-1:123456789012:on-call."
            )

    def _check_key(self, here: str) -> None:
        if self.kms_key is None or self.kms_key == CREATE:
            return
        found = _KEY.fullmatch(self.kms_key)
        if not found:
            raise ValueError(
                f"{here}: kms_key={self.kms_key!r} must be {CREATE!r}, or the ARN of a key, such "
                "as arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab."
            )
        if self.region and found[1] != self.region:
            raise ValueError(f"{here}: kms_key is in {found[1]}, and must be in {self.region}.")

    def _check_callers(self, here: str) -> None:
        """Refuse web pages and limits that the settings don't take."""
        for each in self.web_origins:
            try:
                origin(each)
            except ValueError as fault:
                raise ValueError(f"{here}: web_origins has {each!r}. {fault}.") from None
        most = f"{MOST_REQUESTS_PER_KEY:,} a minute"
        for quota, limit, largest, range_ in (
            ("requests_per_key", self.requests_per_key, MOST_REQUESTS_PER_KEY, most),
            ("requests_per_tenant", self.requests_per_tenant, MOST_REQUESTS_PER_KEY, most),
            ("waiting_per_tenant", self.waiting_per_tenant, MOST_WAITING, f"{MOST_WAITING:,}"),
            ("mails_per_tenant", self.mails_per_tenant, MOST_MAILS, f"{MOST_MAILS:,} a day"),
        ):
            if limit is not None and not 1 <= limit <= largest:
                raise ValueError(
                    f"{here}: {quota}={limit} must be from 1 to {range_}, or None for no limit."
                )

    @property
    def runbook_url(self) -> str:
        """Where the runbook can be read; with neither a URL nor ``github``, where it is kept."""
        page = "docs/runbook.md"
        if self.runbook:
            return self.runbook
        return (
            f"https://github.com/{self.github.repository}/blob/main/{page}" if self.github else page
        )

    @property
    def env(self) -> dict[str, str] | None:
        """The account and region of its stacks, as the CDK's ``Stack(env=...)`` takes them."""
        if not (self.account and self.region):
            return None
        return {"account": self.account, "region": self.region}

    @property
    def ses_mail(self) -> Mail | None:
        """The sender of mail through SES; None where no mail is sent, or an SMTP server sends."""
        return None if self.smtp_secret_arn else self.mail

    @property
    def prefix(self) -> str:
        """The beginning of the names of this deployment's resources."""
        return f"{self.project}-{self.name}"

    @property
    def title(self) -> str:
        """The deployment's name in its settings, metrics and tags: unique in the account.

        A deployment of the default project keeps its short name, which its metrics have had.
        """
        return self.name if self.project == PROJECT else self.prefix

    def log_group(self, name: str) -> str:
        """The name of one of this deployment's log groups."""
        return f"/{self.project}/{self.name}/{name}"
