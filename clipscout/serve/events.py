"""Server-sent events of a walk, and what becomes of a client that leaves."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, TypeVar

Item = TypeVar("Item")
KEEP_ALIVE = 15.0
"""Seconds without an event after which a comment is sent, so that nothing between closes the connection."""


def event(data: Any, name: str | None = None) -> bytes:
    """One event; the text is ASCII, so no line end in the data can begin another event."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data)}\n\n".encode()


async def kept_alive(items: AsyncIterator[Item], seconds: float = KEEP_ALIVE) -> AsyncIterator[Item | None]:
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
        aclose = getattr(items, "aclose", None)
        if aclose is not None:
            await aclose()
