"""A model behind an OpenAI-compatible endpoint as a policy, with native tool calls."""

import json
import re
from typing import Any

from data_gen.durable import Completion, Endpoint, EndpointSettings, Unacceptable
from navigation import Reply, Task, without_markup

_THINK = re.compile(r"\s*<think>(.*?)</think>\s*", re.DOTALL)


class EndpointPolicy:
    """Asks for one assistant message at a time.

    Args:
        settings: Where and how.
        temperature: Of a reply.
        max_tokens: Of a reply.
    """

    def __init__(self, settings: EndpointSettings, temperature: float = 0.0, max_tokens: int = 2048) -> None:
        self.name = settings.model
        self.temperature, self.max_tokens = temperature, max_tokens
        self.endpoint = Endpoint(settings)

    async def close(self) -> None:
        await self.endpoint.__aexit__()

    async def reply(self, task: Task, messages: list[dict[str, Any]]) -> Reply:
        completion = await self.endpoint.chat(
            for_wire(messages), self.max_tokens, _accept, temperature=self.temperature, tools=list(task.tools)
        )
        usage = completion.usage
        return Reply(
            read_message(completion.message), usage.prompt_tokens, usage.completion_tokens,
            truncated=completion.finish_reason == "length",
        )  # fmt: skip


def _accept(completion: Completion) -> None:
    if not completion.text and not completion.message.get("tool_calls"):
        raise Unacceptable("an empty reply")


def for_wire(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The transcript as servers want it: calls have ids and their arguments are JSON texts."""
    sent: list[dict[str, Any]] = []
    waiting: list[str] = []
    for number, message in enumerate(messages):
        copy = dict(message)
        if message["role"] == "assistant" and message.get("tool_calls"):
            waiting = [f"call-{number}-{place}" for place in range(len(message["tool_calls"]))]
            copy["tool_calls"] = [
                _sent(key, call["function"]) for key, call in zip(waiting, message["tool_calls"], strict=True)
            ]
        elif message["role"] == "tool" and waiting:
            copy["tool_call_id"] = waiting.pop(0)
        sent.append(copy)
    return sent


def _sent(key: str, function: dict[str, Any]) -> dict[str, Any]:
    arguments = json.dumps(function["arguments"])
    return {"id": key, "type": "function", "function": {"name": function["name"], "arguments": arguments}}


def read_message(message: dict[str, Any]) -> dict[str, Any]:
    """A server's message in the shape of transcripts: arguments as objects, reasoning apart from the answer."""
    content = message.get("content") or ""
    reasoning = message.get("reasoning_content") or message.get("reasoning") or ""
    match = _THINK.match(content)
    if match:
        reasoning, content = reasoning or match.group(1).strip(), content[match.end() :]
    read: dict[str, Any] = {
        "role": "assistant", "reasoning_content": without_markup(str(reasoning)), "content": content
    }  # fmt: skip
    calls = [_call(call) for call in message.get("tool_calls") or () if isinstance(call, dict)]
    if calls:
        read["tool_calls"] = calls
    return read


def _call(call: dict[str, Any]) -> dict[str, Any]:
    function = call.get("function") if isinstance(call.get("function"), dict) else {}
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except (ValueError, RecursionError):
            arguments = None
    # What is no object is passed on as a text: the environment refuses it and says what would be right.
    arguments = arguments if isinstance(arguments, dict) else {"segment": str(function.get("arguments"))[:200]}
    return {"type": "function", "function": {"name": str(function.get("name"))[:60], "arguments": arguments}}
