"""A model behind an OpenAI-compatible endpoint as a policy: the same prompt, the same tools, native tool calling."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.paid_calls import PaidCalls
from navigation import Policy, Reply, Task

_LONGEST = 60_000
"""Characters kept of a message: what comes after is no answer anybody reads."""
REASONING_FIELD = "reasoning_content"
"""Where nobody knows better."""


class EndpointPolicy(Policy):
    """Asks the model for each turn.

    A reply that holds calls and text keeps both. Arguments that are no JSON stay text: the environment refuses them,
    and the model reads why; they are sent back as an empty object, since servers refuse a history that holds them. Ids
    of calls and fields of the provider (`extra_content`) are sent back as they were received.

    Args:
        calls: The endpoint behind its journal.
        seed: Of the run; the request's seed is the sample's number.
        reasoning_field: Under which earlier turns' reasoning is sent, see `wire_messages`.
    """

    name = "endpoint"

    def __init__(self, calls: PaidCalls, seed: int = 0, reasoning_field: str | None = REASONING_FIELD) -> None:
        self.calls, self.seed, self.reasoning_field = calls, seed, reasoning_field

    @property
    def settings(self) -> dict[str, Any]:
        sent = {} if self.reasoning_field == REASONING_FIELD else {"reasoning_field": self.reasoning_field}
        return {"seed": self.seed, **sent, **self.calls.settings}

    @property
    def stopped(self) -> str:
        return self.calls.stopped

    def account(self, trajectory_id: str) -> dict[str, Any]:
        return self.calls.account(trajectory_id)

    async def reply(self, task: Task, messages: list[dict[str, Any]]) -> Reply:
        sent = as_received(wire_messages(messages, self.reasoning_field), messages)
        record = await self.calls.chat(task, sent, tools=list(task.tools))
        received = record["message"]
        reasoning = received.get("reasoning_content") or received.get("reasoning") or ""
        content = str(received.get("content") or "")[:_LONGEST]
        message: dict[str, Any]
        message = {"role": "assistant", "reasoning_content": str(reasoning)[:_LONGEST], "content": content}
        calls = [_call(call) for call in received.get("tool_calls") or () if isinstance(call, Mapping)]
        if calls:
            message["tool_calls"] = calls
        if kept := {name: received[name] for name in _PROVIDER if received.get(name)}:
            message["provider"] = kept
        return Reply(message, *self.calls.spent(task), truncated=record["finish_reason"] == "length")


_PROVIDER = ("extra_content", "reasoning_details", "thinking_blocks")
"""Fields of a message that a provider wants back: Gemini's signatures, OpenRouter's and LiteLLM's thoughts."""


def as_received(sent: list[dict[str, Any]], messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What is sent, with the ids of calls and the provider's fields of `messages` put back.

    An id that came twice in an episode would name two calls: it is kept once, the others stay ours.
    """
    renamed: dict[str, str] = {}
    seen: set[str] = set()
    for wired, message in zip(sent, messages, strict=True):
        wired |= message.get("provider") or {}
        for call, received in zip(wired.get("tool_calls") or (), message.get("tool_calls") or (), strict=True):
            call |= {name: value for name, value in received.items() if name not in ("id", "type", "function")}
            name = received.get("id")
            if name and name not in seen:
                seen.add(name)
                renamed[call["id"]] = call["id"] = name
        if (own := wired.get("tool_call_id")) in renamed:
            wired["tool_call_id"] = renamed[own]
    return sent


def wire_messages(
    messages: Sequence[Mapping[str, Any]], reasoning_field: str | None = REASONING_FIELD
) -> list[dict[str, Any]]:
    """A transcript as the API takes it: calls with ids and arguments as text, replies naming the call they answer.

    Args:
        reasoning_field: Under which earlier turns' reasoning is sent: vLLM 0.31 reads `reasoning` and ignores
            `reasoning_content`, others the other way round; None leaves it out, for servers that refuse both.
    """
    sent: list[dict[str, Any]] = []
    waiting: list[str] = []
    for turn, message in enumerate(messages):
        if message["role"] == "tool":
            name = waiting.pop(0) if waiting else f"call_{turn}"
            sent.append({"role": "tool", "tool_call_id": name, "content": message["content"]})
            continue
        kept = {"role": message["role"], "content": message.get("content") or ""}
        if reasoning_field is not None and message["role"] == "assistant" and message.get("reasoning_content"):
            kept[reasoning_field] = message["reasoning_content"]
        if message.get("tool_calls"):
            waiting = [f"call_{turn}_{place}" for place in range(len(message["tool_calls"]))]
            kept["tool_calls"] = [
                {"id": name, "type": "function", "function": _wire_function(call)}
                for name, call in zip(waiting, message["tool_calls"], strict=True)
            ]
        sent.append(kept)
    return sent


def _wire_function(call: Mapping[str, Any]) -> dict[str, str]:
    function = call["function"]
    arguments = function.get("arguments")
    text = json.dumps(arguments if isinstance(arguments, Mapping) else {}, ensure_ascii=False)
    return {"name": str(function.get("name")), "arguments": text}


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call.get("function")
    function = function if isinstance(function, Mapping) else {}
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except (ValueError, RecursionError):
            arguments = arguments[:_LONGEST]
    kept = {name: value for name, value in call.items() if name not in ("type", "function", "index") and value}
    return {
        **kept,
        "type": "function",
        "function": {"name": str(function.get("name")).strip(), "arguments": arguments},
    }
