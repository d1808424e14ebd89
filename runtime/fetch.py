"""One small GET without an event loop, for checks and watches that run outside of one."""

import http.client
import json
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from email.message import Message
from typing import Any


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
    headers: Message
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
        timeout: Seconds for connecting, and for each piece of the reply.
        with_key: Whether OPENAI_API_KEY is sent, if it is set.
        most: Bytes of the body that are read.

    Raises:
        Unreachable: no reply came.
    """
    key = os.environ.get("OPENAI_API_KEY", "").strip()
    headers = {"Authorization": f"Bearer {key}"} if with_key and key else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout) as reply:
            return Fetched(url, reply.status, reply.headers, reply.read(most))
    except urllib.error.HTTPError as error:
        with error:
            return Fetched(url, error.code, error.headers, error.read(most))
    except (OSError, ValueError, http.client.HTTPException) as error:
        cause = getattr(error, "reason", error)
        refused, late = isinstance(cause, ConnectionRefusedError), isinstance(cause, TimeoutError)
        raise Unreachable(url, str(cause) or type(cause).__name__, refused, late) from error
