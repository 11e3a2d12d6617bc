"""The S3 bucket of artifacts: uploaded files, large inputs and results, files that tasks make."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from aws_cdk import Aws, RemovalPolicy, aws_kms, aws_s3
from constructs import Construct

from celeriac.cdk.convert import duration
from celeriac.origins import PREFLIGHT_KEPT
from celeriac.topology import UNFINISHED_UPLOADS, Expiry


class Artifacts(Construct):
    """A private bucket whose objects expire, as ``expiries`` say.

    ``web_origins`` are those of the web pages that may upload to it. Without any, no page reads
    what the bucket answers.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        name: str,
        expiries: Sequence[Expiry],
        web_origins: Sequence[str],
        removal_policy: RemovalPolicy,
        key: aws_kms.IKey | None = None,
    ) -> None:
        super().__init__(scope, id)
        self._name = name
        self._expiries = expiries
        self.bucket = aws_s3.Bucket(
            self,
            "Bucket",
            bucket_name=name,
            block_public_access=aws_s3.BlockPublicAccess.BLOCK_ALL,
            encryption=aws_s3.BucketEncryption.KMS if key else aws_s3.BucketEncryption.S3_MANAGED,
            encryption_key=key,
            # One call of KMS serves many objects:
            # docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-key.html
            bucket_key_enabled=True if key else None,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            object_ownership=aws_s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            lifecycle_rules=[
                *(
                    aws_s3.LifecycleRule(
                        id=each.name,
                        prefix=each.prefix,
                        expiration=duration(timedelta(days=each.days)),
                    )
                    for each in expiries
                ),
                aws_s3.LifecycleRule(
                    id="abandoned-uploads",
                    abort_incomplete_multipart_upload_after=duration(UNFINISHED_UPLOADS),
                ),
            ],
            cors=_cors(web_origins),
            removal_policy=removal_policy,
        )

    @property
    def objects(self) -> list[str]:
        """The ARN patterns of every artifact, for a policy."""
        bucket = f"arn:{Aws.PARTITION}:s3:::{self._name}"
        return [f"{bucket}/{each.prefix}*" for each in self._expiries]


def _cors(web_origins: Sequence[str]) -> list[aws_s3.CorsRule] | None:
    """Let pages send an upload's form, and read what a link of the API's leads to.

    The API redirects to such a link, and after a redirect between origins a browser names the page
    ``null``: fetch.spec.whatwg.org/#http-redirect-fetch. The link alone is the permission, and no
    cookie goes with it, so any page that holds one may read the object.
    """
    if not web_origins:
        return None
    return [
        aws_s3.CorsRule(
            allowed_methods=[methods],
            allowed_origins=origins,
            allowed_headers=["*"],
            exposed_headers=["ETag"],
            max_age=PREFLIGHT_KEPT // timedelta(seconds=1),
        )
        for methods, origins in (
            (aws_s3.HttpMethods.POST, [*web_origins]),
            (aws_s3.HttpMethods.GET, ["*"]),
        )
    ]
