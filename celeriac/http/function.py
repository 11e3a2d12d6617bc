"""The API as a Lambda function: requests go to the app, SES's events to the tasks' records."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mangum import Mangum
from mangum.adapter import DEFAULT_TEXT_MIME_TYPES

from celeriac.app.logs import configure
from celeriac.http.problems import MEDIA_TYPE
from celeriac.settings import settings


def lambda_handler(app: Any) -> Callable[[Any, Any], Any]:
    """What Lambda calls, for an ASGI app behind an API Gateway HTTP API (payload format 2.0)."""
    configure(settings().log_level)
    answer = Mangum(
        app,
        lifespan="off",
        # API Gateway sends every other media type as base64.
        text_mime_types=[*DEFAULT_TEXT_MIME_TYPES, MEDIA_TYPE],
    )

    def handle(event: Any, context: Any) -> Any:
        match event:
            # docs.aws.amazon.com/lambda/latest/dg/with-sns.html
            case {"Records": [{"EventSource": "aws:sns"}, *_] as records}:
                # Few functions get one, and a cold start needn't wait for it.
                from celeriac.operations import mail_events

                return mail_events.receive(records)
        return answer(event, context)

    return handle
