"""The scripted server of the table: it answers every consumer rightly unless a behaviour says otherwise, and bills."""

import base64
import io
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from runtime import BodyOptions
from runtime.testing.chat_server import Answer, ChatServer, completion_record
from runtime.testing.scripted_server import Raw

PROMPT, COMPLETION = 1000.0, 2000.0
"""USD a million tokens: a request costs cents, so that a bill that is right to the cent is right."""
CAPTION = "A person walks through a room."


def good_message(request: Mapping[str, Any]) -> dict[str, Any]:
    """Opens segment 1, then answers A; captions what comes with images."""
    messages = request["messages"]
    if "tools" in request:
        if messages[-1]["role"] != "tool":
            function = {"name": "get_caption", "arguments": '{"segment": [1]}'}
            return {"content": "", "tool_calls": [{"id": "call-1", "type": "function", "function": function}]}
        return {"content": "<answer>A</answer>"}
    if isinstance(messages[-1]["content"], list):
        return {"content": CAPTION}
    if any(message["role"] == "assistant" for message in messages):
        return {"content": "<think>so</think><answer>A</answer>"}
    return {"content": "<think>look</think><tool>get_caption([1])</tool>"}


@dataclass(frozen=True)
class Exchange:
    """One request and the completion that a server in order would send."""

    request: dict[str, Any]
    record: dict[str, Any]
    number: int

    def with_choice(self, **fields: Any) -> dict[str, Any]:
        return {**self.record, "choices": [{**self.record["choices"][0], **fields}]}

    def with_message(self, finish: str | None = None, **fields: Any) -> dict[str, Any]:
        choice = self.record["choices"][0]
        kept = {"message": {**choice["message"], **fields}, "finish_reason": finish or choice["finish_reason"]}
        return self.with_choice(**kept)

    def with_usage(self, usage: Any) -> dict[str, Any]:
        return {**self.record, "usage": usage}

    @property
    def streamed(self) -> bytes:
        choice = self.record["choices"][0]
        message = choice["message"]
        deltas: list[dict[str, Any]] = [{"role": "assistant"}]
        text = message.get("content") or ""
        deltas += [{"content": text[start : start + 7]} for start in range(0, len(text), 7)]
        for index, call in enumerate(message.get("tool_calls") or ()):
            arguments = call["function"]["arguments"]
            deltas.append({"tool_calls": [{"index": index, **call, "function": {"name": call["function"]["name"]}}]})
            deltas += [
                {"tool_calls": [{"index": index, "function": {"arguments": arguments[start : start + 5]}}]}
                for start in range(0, len(arguments), 5)
            ]
        pieces: list[dict[str, Any]] = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
        pieces.append({"choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]})
        pieces.append({"choices": [], "usage": self.record["usage"]})
        return b"".join(f"data: {json.dumps(piece)}\n\n".encode() for piece in pieces) + b"data: [DONE]\n\n"


Reply = Callable[[Exchange], Raw]
ALL, PROMPT_ONLY, NOTHING = "all", "prompt", "nothing"


@dataclass(frozen=True)
class Behaviour:
    """A way to misbehave.

    Args:
        name: As tables call it.
        reply: What comes instead.
        effect: `passes` (the result is as ever), `filtered`, `too long`, `cut`, `refused`, `down`.
        times: How often it happens, from the first request on; None: always.
        bills: What the provider bills for such a reply.
        estimated: Whether the client can only estimate that.
        says: What an error says besides the address.
        body: How the client is told to write requests.
    """

    name: str
    reply: Reply
    effect: str = "passes"
    times: int | None = None
    bills: str = ALL
    estimated: bool = False
    says: str = ""
    body: BodyOptions = field(default_factory=BodyOptions)


def error(status: int, message: str, *headers: str, **fields: Any) -> Reply:
    return lambda exchange: Raw(status, {"error": {"message": message, **fields}}, headers)


def ok(change: Callable[[Exchange], Any], *headers: str) -> Reply:
    return lambda exchange: Raw(200, change(exchange), headers)


@dataclass
class MisbehavingServer:
    """Serves one behaviour from a thread; counts what it bills."""

    behaviour: Behaviour | None = None
    requests: list[dict[str, Any]] = field(default_factory=list)
    bill: float = 0.0

    async def _script(self, request: dict[str, Any], body: bytes) -> Raw:
        self.requests.append(request)
        message = good_message(request)
        written = (message["content"] or "") + (json.dumps(message["tool_calls"]) if "tool_calls" in message else "")
        images = re.findall(rb'data:image/jpeg;base64,([^"]*)', body)
        sizes = [Image.open(io.BytesIO(base64.b64decode(image))).size for image in images]
        text = len(re.sub(rb'data:image/jpeg;base64,[^"]*', b"", body))
        prompt = text // 4 + sum(-(-width // 28) * -(-height // 28) for width, height in sizes)
        completion = -(-len(written.encode()) // 4)
        usage = {"prompt_tokens": prompt, "completion_tokens": completion}
        record = completion_record(Answer(message["content"], usage, message=message), message["content"])
        wrong = self.behaviour
        if wrong is None or (wrong.times is not None and len(self.requests) > wrong.times):
            self.bill += (prompt * PROMPT + completion * COMPLETION) / 1e6
            return Raw(200, record)
        raw = wrong.reply(Exchange(request, record, len(self.requests)))
        bills = ALL if raw.content == record else wrong.bills
        part, rest = {ALL: (prompt, completion), PROMPT_ONLY: (prompt, 0), NOTHING: (0, 0)}[bills]
        self.bill += (part * PROMPT + rest * COMPLETION) / 1e6
        return raw

    def __enter__(self) -> "MisbehavingServer":
        self._server = ChatServer(self._script).__enter__()
        self.url = self._server.url
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()
