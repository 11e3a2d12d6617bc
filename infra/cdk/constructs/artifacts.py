"""The S3 bucket of artifacts: uploaded files, large inputs and results, what tasks make."""

from __future__ import annotations

from datetime import timedelta

from aws_cdk import Aws, RemovalPolicy, aws_s3
from constructs import Construct

from infra.cdk.durations import duration

# Where the engine keeps every artifact: a tenant's own folder under this one.
TENANTS = "tenants/"


class Artifacts(Construct):
    """A private bucket whose objects expire. ``origins`` are the web pages that may upload."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        name: str,
        keep: timedelta,
        origins: list[str],
        removal_policy: RemovalPolicy,
    ) -> None:
        super().__init__(scope, id)
        self._name = name
        self.bucket = aws_s3.Bucket(
            self,
            "Bucket",
            bucket_name=name,
            block_public_access=aws_s3.BlockPublicAccess.BLOCK_ALL,
            encryption=aws_s3.BucketEncryption.S3_MANAGED,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            object_ownership=aws_s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            lifecycle_rules=[
                aws_s3.LifecycleRule(
                    id="expire",
                    prefix=TENANTS,
                    expiration=duration(keep),
                ),
                aws_s3.LifecycleRule(
                    id="abandoned-uploads",
                    abort_incomplete_multipart_upload_after=duration(timedelta(days=1)),
                ),
            ],
            cors=[
                aws_s3.CorsRule(
                    allowed_methods=[
                        aws_s3.HttpMethods.GET,
                        aws_s3.HttpMethods.POST,
                        aws_s3.HttpMethods.PUT,
                    ],
                    allowed_origins=origins,
                    allowed_headers=["*"],
                    exposed_headers=["ETag"],
                    max_age=3600,
                )
            ],
            removal_policy=removal_policy,
        )

    @property
    def objects(self) -> str:
        """The ARN pattern of every artifact, for a policy."""
        return f"arn:{Aws.PARTITION}:s3:::{self._name}/{TENANTS}*"
