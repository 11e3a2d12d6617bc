"""The Lambda handler: the same app, behind an API Gateway HTTP API (payload format 2.0)."""

from mangum import Mangum
from mangum.adapter import DEFAULT_TEXT_MIME_TYPES

from api.app import app
from api.problems import MEDIA_TYPE
from celeriac.logs import configure
from celeriac.settings import settings

configure(settings().log_level)

#: What AWS calls: ``api.handler.handler``.
handler = Mangum(
    app,
    lifespan="off",
    # What is not named here would go through API Gateway as base64.
    text_mime_types=[*DEFAULT_TEXT_MIME_TYPES, MEDIA_TYPE],
)
