"""A DynamoDB that answers single reads and writes in constant time, for ``bench.long_polls``.

    uvicorn bench.constant_dynamodb:app

moto takes 0.1 s and more of one processor for a batch of fifty: it would measure itself.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

#: About what DynamoDB takes.
LATENCY_SECONDS = 0.005

_items: dict[str, Any] = {}


async def answer(request: Request) -> Response:
    """PutItem without its condition, GetItem and BatchGetItem."""
    asked = json.loads(await request.body())
    await asyncio.sleep(LATENCY_SECONDS)
    content: dict[str, Any] = {}
    match request.headers["x-amz-target"].partition(".")[2]:
        case "PutItem":
            _items[_key(asked["Item"])] = asked["Item"]
        case "GetItem":
            if (item := _items.get(_key(asked["Key"]))) is not None:
                content = {"Item": item}
        case "BatchGetItem":
            [(table, wanted)] = asked["RequestItems"].items()
            found = [_items[_key(each)] for each in wanted["Keys"] if _key(each) in _items]
            content = {"Responses": {table: found}, "UnprocessedKeys": {}}
    return JSONResponse(content, media_type="application/x-amz-json-1.0")


def _key(item: Any) -> str:
    return f"{item['pk']['S']}/{item['sk']['S']}"


async def ready(_: Request) -> Response:
    """It runs."""
    return Response()


app = Starlette(routes=[Route("/", answer, methods=["POST"]), Route("/ready", ready)])
