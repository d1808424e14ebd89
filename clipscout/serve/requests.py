"""Bodies of requests and replies, server-sent events, and what becomes of a client that leaves."""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from navigation import InputError


async def json_body(request: Request) -> Mapping[str, Any]:
    """The body as an object.

    Raises:
        InputError: another content type (a form of another site can send texts, but not this type), or no object.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise InputError("request", "content-type", kind, "send application/json")
    try:
        body = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise InputError("request", "body", str(error)[:80], "send a JSON object") from None
    if not isinstance(body, dict):
        raise InputError("request", "body", type(body).__name__, "send a JSON object")
    return body


def text_of(body: Mapping[str, Any], key: str) -> str:
    """A text of the body; InputError if it is none."""
    value = body.get(key)
    if not isinstance(value, str):
        raise InputError("request", key, value, "give a text")
    return value


def read_options(body: Mapping[str, Any]) -> tuple[str, ...]:
    """The `options` of the body, empty where there are none; InputError if they are no list of texts."""
    options = body.get("options") or []
    if not isinstance(options, list) or not all(isinstance(option, str) for option in options):
        raise InputError("request", "options", options, "give a list of texts, or leave it out")
    return tuple(options)


def json_reply(value: Any, status: int = 200) -> Response:
    """A JSON reply in ASCII, so that half a surrogate pair from a data file is no error."""
    return Response(json.dumps(value), status, media_type="application/json")


Item = TypeVar("Item")
KEEP_ALIVE = 15.0
"""Seconds without an event after which a comment is sent, so that nothing between closes the connection."""


def event(data: Any, name: str | None = None) -> bytes:
    """One event; the text is ASCII, so no line end in the data can begin another event."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data)}\n\n".encode()


async def kept_alive(items: AsyncGenerator[Item], seconds: float = KEEP_ALIVE) -> AsyncGenerator[Item | None]:
    """The items, with None for every so many seconds without one. Closing this closes `items`."""
    upcoming: asyncio.Task[Item] | None = None
    try:
        while True:
            upcoming = upcoming or asyncio.ensure_future(anext(items))
            done, _ = await asyncio.wait({upcoming}, timeout=seconds)
            if not done:
                yield None
                continue
            finished, upcoming = upcoming, None
            try:
                yield finished.result()
            except StopAsyncIteration:
                return
    finally:
        if upcoming is not None:
            upcoming.cancel()
            await asyncio.gather(upcoming, return_exceptions=True)
        await items.aclose()
