"""A judge on a loopback port whose replies are scripted."""

import json
import random
import re
from collections.abc import Callable
from typing import Any

from rewards.judge import JudgeSettings
from runtime.testing.chat_server import Answer, ChatServer
from runtime.testing.scripted_server import Raw

USAGE = {"prompt_tokens": 300, "completion_tokens": 20}
Say = Callable[[str], str | Raw]
"""From the answer that is judged to the reply."""


def verdict(label: str, share: float | None = None) -> str:
    record = {"reason": "so", "verdict": label}
    return json.dumps(record if share is None else {**record, "share": share})


def judged_answer(prompt: str) -> str:
    return json.loads(re.search(r"<answer [0-9a-f]{8}>\n(.*)\n</answer ", prompt).group(1))


def fair(answer: str) -> str:
    """Right where the answer says crimson, partly where it says reddish, else wrong."""
    if "crimson" in answer:
        return verdict("right")
    return verdict("partly", 0.5) if "reddish" in answer else verdict("wrong")


def at_random() -> Say:
    chance = random.Random(0)
    return lambda answer: verdict(chance.choice(["right", "wrong", "cannot_tell"]))


HTML = Raw(200, b"<html><body><h1>right</h1></body></html>", ["Content-Type: text/html"])
BAD: dict[str, Say] = {
    "prose": lambda answer: "I believe that this answer is right, or at least not wrong.",
    "html in the reply": lambda answer: "<html><body>right</body></html>",
    "html": lambda answer: HTML,
    "nothing": lambda answer: "",
    "error": lambda answer: Raw(500, {"error": {"message": "right"}}),
    "no words": lambda answer: Raw(None),
    "timeout": lambda answer: Raw(200, b"", hang=30.0),
    "refused": lambda answer: Raw(401, {"error": {"message": "no key"}}),
}


class ScriptedJudge:
    """Serves while it is open; `requests` holds the bodies as they came."""

    def __init__(self, say: Say) -> None:
        self.say = say
        self.requests: list[dict[str, Any]] = []
        self._server = ChatServer(self._answer)

    async def _answer(self, request: dict[str, Any], body: bytes) -> Answer | Raw:
        self.requests.append(request)
        said = self.say(judged_answer(request["messages"][0]["content"]))
        return said if isinstance(said, Raw) else Answer(said, USAGE)

    async def __aenter__(self) -> "ScriptedJudge":
        self.url = await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.close()

    def settings(self, **more: Any) -> JudgeSettings:
        defaults = {"attempts": 2, "timeout": 0.3, "first_wait": 0.001}
        return JudgeSettings(self.url, "stub", **{**defaults, **more})
