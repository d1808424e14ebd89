"""A loopback endpoint that plays a scripted model, and remembers what it was asked."""

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

from runtime.testing.chat_server import Answer, Refused
from runtime.testing.chat_server import ChatServer as Server

Model = Callable[[dict[str, Any]], dict[str, Any]]
"""A request's body to an assistant message."""


class ChatServer:
    """Serves `POST /v1/chat/completions` from a thread while it is open; `requests` holds the bodies as they came.

    Args:
        model: Makes the replies.
        status: Of every reply; other than 200, nothing is answered.
    """

    def __init__(self, model: Model, status: int = 200) -> None:
        self.model, self.status = model, status
        self.requests: list[dict[str, Any]] = []

    async def _answer(self, request: dict[str, Any], body: bytes) -> Answer:
        self.requests.append(request)
        if self.status != 200:
            raise Refused(self.status, "no")
        usage = {"prompt_tokens": 100, "completion_tokens": 10}
        return Answer(None, usage, message=await asyncio.to_thread(self.model, request))

    def __enter__(self) -> "ChatServer":
        self._loop, self._server = asyncio.new_event_loop(), Server(self._answer)
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self.url = asyncio.run_coroutine_threadsafe(self._server.start(), self._loop).result().removesuffix("/v1")
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._server.close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)


def call(name: str, arguments: Any) -> dict[str, Any]:
    """A tool call as the API writes it."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return {"id": "x", "type": "function", "function": {"name": name, "arguments": text}}
