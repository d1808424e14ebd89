"""A scripted OpenAI-compatible server: what it answers is a function, how it fails is drawn."""

import argparse
import asyncio
import hashlib
import json
import random
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from runtime.testing.scripted_server import Raw, Request, ScriptedServer

FAULTS = ("500", "429", "timeout", "disconnect", "malformed", "empty")


@dataclass(slots=True)
class Answer:
    """What a request gets.

    Args:
        content: Text of the assistant message; None for a message of calls only.
        usage: As the server reports it.
        images: How many the request held.
        texts: What of the request is kept in the server's log.
        message: Further fields of the assistant message.
    """

    content: str | None
    usage: dict[str, Any]
    images: int = 0
    texts: str = ""
    message: dict[str, Any] | None = None


class Refused(Exception):
    """Raised by a script: the request gets this HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


Script = Callable[[dict[str, Any], bytes], Awaitable[Answer | Raw]]
"""Takes the request and its bytes. Equal requests should get equal answers."""


class ChatServer(ScriptedServer):
    """Serves `POST …/chat/completions`, `GET …/models` and `GET /stats` on a loopback port.

    Args:
        script: Answers requests.
        latency: Seconds from a request's last byte to its reply, the script's own time included.
        faults: Share of requests that get one of `FAULTS` instead, drawn with `seed`.
        hang: Seconds a `timeout` fault holds the connection before closing it; a client's timeout should be below.
        kinds: Which faults.
    """

    base = "/v1"

    def __init__(
        self,
        script: Script,
        latency: float = 0.0,
        faults: float = 0.0,
        hang: float = 5.0,
        kinds: Sequence[str] = FAULTS,
        seed: int = 0,
    ) -> None:
        super().__init__(self._respond)
        self.script, self.latency, self.faults, self.hang, self.kinds = script, latency, faults, hang, tuple(kinds)
        self._chance = random.Random(seed)
        self._paid: Counter[str] = Counter()
        self.in_flight = 0
        self.stats: dict[str, Any] = {
            "requests": 0,
            "answered": 0,
            "most_in_flight": 0,
            "images": 0,
            "faults": Counter(),
        }
        self.log: list[dict[str, str]] = []

    async def _respond(self, request: Request) -> Raw:
        if request.method == "POST" and request.path.endswith("/chat/completions"):
            return await self._chat(request.body)
        if not request.path.endswith("/stats"):
            return Raw(200, {"object": "list", "data": [{"id": "stub", "object": "model"}]})
        paid = {"different": len(self._paid), "paid_twice": self._paid.total() - len(self._paid)}
        return Raw(200, {**self.stats, **paid, "log": self.log})

    async def _chat(self, body: bytes) -> Raw:
        self.stats["requests"] += 1
        self.in_flight += 1
        self.stats["most_in_flight"] = max(self.stats["most_in_flight"], self.in_flight)
        begun = asyncio.get_running_loop().time()
        mark = hashlib.sha256(body).hexdigest()[:24]
        entry = {"sha256": mark, "outcome": "open"}
        self.log.append(entry)
        try:
            fault = self._chance.choice(self.kinds) if self._chance.random() < self.faults else ""
            try:
                answer = await self.script(json.loads(body), body)
            except Refused as error:
                entry["outcome"] = "refused"
                return Raw(error.status, {"error": {"message": str(error)}})
            if isinstance(answer, Raw):
                entry["outcome"] = "raw"
                return answer
            entry["texts"] = answer.texts
            del body
            if fault:
                self.stats["faults"][fault] += 1
            spent = asyncio.get_running_loop().time() - begun
            await asyncio.sleep(self.hang if fault == "timeout" else max(0.0, self.latency - spent))
            entry["outcome"] = fault or "answered"
            if fault in ("timeout", "disconnect"):
                return Raw(None)
            if fault in ("500", "429"):
                return Raw(int(fault), {"error": {"message": f"injected {fault}"}}, ["Retry-After: 0.05"])
            if fault == "malformed":
                return Raw(200, b'{"choices": [{"message": {"content": "half a')
            self.stats["answered"] += not fault
            self.stats["images"] += answer.images
            self._paid[mark] += not fault
            return Raw(200, completion_record(answer, "" if fault == "empty" else answer.content))
        finally:
            self.in_flight -= 1


def completion_record(answer: Answer, content: str | None) -> dict[str, Any]:
    """The body of a reply."""
    usage = {"total_tokens": answer.usage["prompt_tokens"] + answer.usage["completion_tokens"], **answer.usage}
    message = {"role": "assistant", "content": content, **(answer.message or {})}
    choice = {"index": 0, "finish_reason": "tool_calls" if message.get("tool_calls") else "stop", "message": message}
    return {"id": "stub", "object": "chat.completion", "model": "stub", "choices": [choice], "usage": usage}


def command_parser(description: str, hang: float) -> argparse.ArgumentParser:
    """Options that every server started from the command line has."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one and prints it")
    parser.add_argument("--latency", type=float, default=0.1, help="seconds a reply takes")
    parser.add_argument("--faults", type=float, default=0.0, help="share of requests that fail, in one of six ways")
    parser.add_argument("--hang", type=float, default=hang, help="seconds a timeout fault lasts; give clients less")
    parser.add_argument("--seed", type=int, default=0)
    return parser


def serve(server: ChatServer, port: int, what: str) -> None:
    """Serves until it is stopped; the first line of output holds the address."""

    async def run() -> None:
        print(f"{what.format(address=await server.start(port))}", flush=True)
        await asyncio.Event().wait()

    try:
        asyncio.run(run())
    except KeyboardInterrupt:
        sys.exit(0)
