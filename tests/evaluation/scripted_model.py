"""A loopback endpoint that plays a scripted model, and remembers what it was asked."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from runtime.testing.chat_server import Answer, ChatServer, Refused

Model = Callable[[dict[str, Any]], dict[str, Any]]
"""A request's body to an assistant message."""


class ScriptedModel(ChatServer):
    """A chat server that remembers: `requests` holds the bodies as they came.

    Args:
        model: Makes the replies.
        status: Of every reply; other than 200, nothing is answered.
    """

    base = ""

    def __init__(self, model: Model, status: int = 200) -> None:
        super().__init__(self._answer)
        self.model, self.status = model, status
        self.requests: list[dict[str, Any]] = []

    async def _answer(self, request: dict[str, Any], body: bytes) -> Answer:
        self.requests.append(request)
        if self.status != 200:
            raise Refused(self.status, "no")
        usage = {"prompt_tokens": 100, "completion_tokens": 10}
        return Answer(None, usage, message=await asyncio.to_thread(self.model, request))


def call(name: str, arguments: Any) -> dict[str, Any]:
    """A tool call as the API writes it."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return {"id": "x", "type": "function", "function": {"name": name, "arguments": text}}
