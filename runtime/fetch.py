"""One small GET without an event loop, for checks and watches that run outside of one."""

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp


class Unreachable(Exception):
    """No reply came. `refused`: nothing listens there; `timed_out`: it took too long."""

    def __init__(self, url: str, reason: str, refused: bool = False, timed_out: bool = False) -> None:
        self.url, self.reason, self.refused, self.timed_out = url, reason, refused, timed_out
        super().__init__(f"{url}: {reason}")


@dataclass(frozen=True, slots=True)
class Fetched:
    """A reply, whatever its status. `headers` are looked up in any case of letters."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def ok(self) -> bool:
        return self.status < 400

    def json(self) -> Any:
        """Raises ValueError for a body that is no JSON."""
        return json.loads(self.body)


def fetch(url: str, timeout: float, with_key: bool = False, most: int = 1_000_000) -> Fetched:
    """Gets an address.

    Args:
        url: The address.
        timeout: Seconds for connecting, and for each piece of the reply; four times that in all.
        with_key: Whether OPENAI_API_KEY is sent, if it is set. No redirect is followed then: it is for this address.
        most: Bytes of the body that are read.

    Raises:
        Unreachable: no reply came.
    """
    key = os.environ.get("OPENAI_API_KEY", "").strip()
    headers = {"Authorization": f"Bearer {key}"} if with_key and key else {}
    limits = aiohttp.ClientTimeout(total=4 * timeout, sock_connect=timeout, sock_read=timeout)

    async def get() -> Fetched:
        async with (
            aiohttp.ClientSession(timeout=limits, trust_env=True) as session,
            session.get(url, headers=headers, allow_redirects=not with_key) as reply,
        ):
            body = b""
            while len(body) < most and (piece := await reply.content.read(most - len(body))):
                body += piece
            return Fetched(url, reply.status, reply.headers, body)

    try:
        return asyncio.run(get())
    except (aiohttp.ClientError, OSError, ValueError) as error:
        cause = getattr(error, "os_error", error)
        refused, late = isinstance(cause, ConnectionRefusedError), isinstance(cause, TimeoutError)
        raise Unreachable(url, str(cause) or type(cause).__name__, refused, late) from error
