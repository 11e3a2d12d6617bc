"""Files go to S3 and come back by links that lead to the bucket's own region."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import urlsplit

import httpx

from infra.verify.check import NotHeld, check
from infra.verify.trial import Trial

_TEXT = b"What was uploaded.\n"


@check(
    "file",
    claims="A file that a caller uploads through the API's form comes back by the API's link.",
    proves="files.md",
)
def file(trial: Trial) -> str:
    key = trial.upload("note.txt", "text/plain", _TEXT)
    answer = trial.ask("GET", f"/files/{key}", expect=HTTPStatus.SEE_OTHER)
    found = httpx.get(answer.headers["location"]).raise_for_status().content
    if found != _TEXT:
        raise NotHeld(f"{len(found)} other bytes came back")
    return f"{len(found)} bytes there and back"


@check(
    "link-region",
    claims="The links to upload and download with name the host of the bucket's region.",
    proves="files.md",
    only_aws="moto has one host for all regions.",
)
def link_region(trial: Trial) -> str:
    # docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html: the global host redirects,
    # for a day or for good, and a browser follows no redirect of an upload.
    form = {"filename": "note.txt", "content_type": "text/plain", "size": len(_TEXT)}
    ticket = trial.ask("POST", "/files", body=form, expect=HTTPStatus.CREATED).json()
    key = trial.upload("note.txt", "text/plain", _TEXT)
    download = trial.ask("GET", f"/files/{key}", expect=HTTPStatus.SEE_OTHER)
    hosts = {
        str(urlsplit(url).hostname)
        for url in (ticket["upload"]["url"], download.headers["location"])
    }
    region = trial.deployment.region
    # The global host is this region's own.
    own = (f".s3.{region}.", ".s3.amazonaws.") if region == "us-east-1" else (f".s3.{region}.",)
    wrong = [host for host in hosts if not any(each in host for each in own)]
    if wrong:
        raise NotHeld(f"links lead to {', '.join(wrong)}")
    return ", ".join(sorted(hosts))


@check(
    "browser-upload",
    claims="S3 lets a page of the API's own origin upload a file.",
    proves="files.md",
    only_aws="moto doesn't check a page's origin.",
)
def browser_upload(trial: Trial) -> str:
    form = {"filename": "note.txt", "content_type": "text/plain", "size": len(_TEXT)}
    ticket = trial.ask("POST", "/files", body=form, expect=HTTPStatus.CREATED).json()
    url = urlsplit(trial.deployment.variables["API"])
    origin = f"{url.scheme}://{url.netloc}"
    # docs.aws.amazon.com/AmazonS3/latest/API/RESTOPTIONSobject.html
    answer = httpx.options(
        ticket["upload"]["url"],
        headers={"Origin": origin, "Access-Control-Request-Method": "POST"},
    )
    allowed = answer.headers.get("access-control-allow-origin")
    if allowed not in (origin, "*"):
        raise NotHeld(f"S3 answered {answer.status_code} and allows {allowed}")
    return f"{origin} may upload"


CHECKS = (file, link_region, browser_upload)
