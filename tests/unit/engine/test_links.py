"""Presigned links name the host of the bucket's own region, unless an endpoint is given."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

import pytest

from celeriac import aws

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BUCKET, KEY = "celeriac-dev-123456789012", "tenants/acme/files/1/leaf.txt"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
PROFILE = "[default]\nservices = own\n[services own]\ns3 =\n  endpoint_url = http://minio:9000\n"


@pytest.fixture(autouse=True)
def shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No profile and no endpoint but the test's own."""
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    # boto3 keeps the session of the region that it was first asked in.
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)


def links(monkeypatch: pytest.MonkeyPatch, region: str) -> list[str]:
    """A link to download, and the address that an upload's form is sent to."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", region)
    client = cast("S3Client", aws.client("s3"))
    return [
        client.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": KEY}),
        client.generate_presigned_post(Bucket=BUCKET, Key=KEY)["url"],
    ]


@pytest.mark.parametrize(
    ("region", "host"),
    [
        # The global host is this region's own.
        ("us-east-1", "s3.amazonaws.com"),
        # One that the global host redirects to, and one that it never will.
        ("eu-central-1", "s3.eu-central-1.amazonaws.com"),
        ("eu-south-2", "s3.eu-south-2.amazonaws.com"),
        ("cn-north-1", "s3.cn-north-1.amazonaws.com.cn"),
    ],
)
def test_links_name_the_regions_host(
    monkeypatch: pytest.MonkeyPatch, region: str, host: str
) -> None:
    """A link to another host is redirected, which breaks its signature, or refused forever."""
    found = links(monkeypatch, region)

    assert [urlsplit(each).netloc for each in found] == [f"{BUCKET}.{host}"] * 2
    assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in found[0]


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1", "eu-south-2"])
@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
@pytest.mark.parametrize(
    "endpoint",
    [
        "http://127.0.0.1:5000",
        "http://moto:5000",
        "https://bucket.vpce-1a2b.s3.eu-central-1.vpce.amazonaws.com",
    ],
)
def test_links_name_the_endpoint_that_is_given(
    monkeypatch: pytest.MonkeyPatch, region: str, variable: str, endpoint: str
) -> None:
    """The bucket stands in the path: nobody resolves a name with the bucket before it."""
    monkeypatch.setenv(variable, endpoint)

    for link in links(monkeypatch, region):
        assert link.startswith(f"{endpoint}/{BUCKET}")


def test_an_endpoint_of_a_profile_is_one_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Wherever boto3 takes the endpoint from, the links follow it."""
    (tmp_path / "config").write_text(PROFILE)

    assert all(
        each.startswith(f"http://minio:9000/{BUCKET}")
        for each in links(monkeypatch, "eu-central-1")
    )
