"""Web pages of other origins: what an origin is, and what its pages may send and read (CORS).

API Gateway and the app's own middleware are configured with the same names.
"""

from __future__ import annotations

import re
from datetime import timedelta

#: What the API's routes take, and those that an app adds to them.
METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
#: The headers of a request that the API reads. A wildcard would leave Authorization out.
#: fetch.spec.whatwg.org/#cors-non-wildcard-request-header-name
REQUEST_HEADERS = ("Authorization", "Content-Type", "Idempotency-Key", "If-None-Match", "Prefer")
#: The headers of an answer that a page's script may read.
RESPONSE_HEADERS = (
    "Allow",
    "ETag",
    "Idempotent-Replayed",
    "Link",
    "Location",
    "Preference-Applied",
    "Retry-After",
    "Unique-Replayed",
    "WWW-Authenticate",
)
#: How long a browser remembers what it may send. Chrome's limit is two hours.
PREFLIGHT_KEPT = timedelta(hours=1)

_ORIGIN = re.compile(
    r"(?P<scheme>https?)://(?P<host>(?:[a-z0-9_-]+\.)*[a-z0-9_-]+|\[[0-9a-f:]+\])"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?"
)
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_LAST_PORT = 2**16 - 1
_OF_THIS_MACHINE = re.compile(r"(?:[a-z0-9_-]+\.)*localhost|127\.0\.0\.1|\[::1\]")


def origin(text: str) -> str:
    """An origin, as a browser sends it: ``https://app.shop.net``, ``http://localhost:5173``.

    There is no ``*``: any page could then use what the browser of its visitor can reach, such as
    an API in a private network. ``null`` isn't allowed either, since any page can send it.

    Raises:
        ValueError: no browser sends this. The message says what to write, without the text.
    """
    found = _ORIGIN.fullmatch(text)
    if text in {"*", "null"}:
        raise ValueError("Any page could send this. Name the origin of each page")
    if found is None:
        raise ValueError(
            "An origin is scheme://host or scheme://host:port, in small letters, without a path "
            "or a slash at the end"
        )
    scheme, host, port = found["scheme"], found["host"], found["port"]
    if scheme == "http" and not _OF_THIS_MACHINE.fullmatch(host):
        raise ValueError("Use https: http is for pages of localhost only")
    if port == _DEFAULT_PORTS[scheme]:
        raise ValueError(f"Leave out :{port}: browsers don't send the scheme's own port")
    if port is not None and int(port) > _LAST_PORT:
        raise ValueError(f"A port is at most {_LAST_PORT}")
    return text
