"""Requests that are paid for once: every finished one is in the journal, and is read from there when it comes again."""

import hashlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

from navigation import RequestFailed
from runtime import BudgetExceeded, Completion, Endpoint, EndpointDown, EndpointFailed, Filtered, Journal, Usage


class Stopped(RequestFailed):
    """The run asks for nothing more: the endpoint is down or the money is used up."""


class CallCache:
    """Chat completions by key. A key belongs to one place in one trajectory; what it was asked is checked by a digest.

    Args:
        endpoint: Who is asked.
        journal: Where finished replies and the cost of failed ones are kept.
        keep: What of a reply is kept; `text_of` or `message_of`.
    """

    def __init__(
        self, endpoint: Endpoint, journal: Journal, keep: Callable[[Completion], dict[str, Any]] | None = None
    ) -> None:
        self.endpoint, self.journal, self.keep = endpoint, journal, keep or text_of
        self.stopped = ""
        self.usage = Usage()
        """Of this run's requests."""
        self.earlier = Usage()
        """Of requests that an earlier run paid for."""
        self.reused = 0
        for key in journal:
            self.earlier += Usage.from_dict(journal[key]["usage"])
        endpoint.budget.spent += self.earlier.usd

    async def chat(
        self,
        key: str,
        messages: list[dict[str, Any]],
        max_tokens: int,
        accept: Callable[[Completion], None] | None = None,
        **parameters: Any,
    ) -> tuple[dict[str, Any], Usage]:
        """The reply, from the journal or the endpoint: as `keep` made it with its `finish_reason`, and what it took.

        What it took includes failed attempts of earlier runs.

        Raises:
            Filtered: the provider refused it for its content; that is kept as a reply is.
            EndpointFailed: this request failed for good; the next run asks it again.
            Stopped: no request is sent any more.
        """

        async def given() -> list[dict[str, Any]]:
            return messages

        return await self.chat_lazily(key, given, max_tokens, accept, **parameters)

    async def chat_lazily(
        self,
        key: str,
        make_messages: Callable[[], Awaitable[list[dict[str, Any]]]],
        max_tokens: int,
        accept: Callable[[Completion], None] | None = None,
        **parameters: Any,
    ) -> tuple[dict[str, Any], Usage]:
        """As `chat`, for messages that are dear to make: they are made only if the journal has no reply."""
        found = self.journal.get(key)
        if found is not None and "finish_reason" in found:
            self.reused += 1
            if "filtered" in found:
                raise Filtered(found["filtered"], 0, Usage.from_dict(found["usage"]))
            return found, Usage.from_dict(found["usage"])
        if self.stopped:
            raise Stopped(self.stopped)
        before = Usage.from_dict(found["usage"]) if found else Usage()
        try:
            completion = await self.endpoint.chat(await make_messages(), max_tokens, accept, **parameters)
        except (EndpointFailed, EndpointDown, BudgetExceeded) as error:
            self.usage += error.usage
            record = {"usage": (before + error.usage).to_dict()}
            if isinstance(error, Filtered):
                self._keep(key, {"filtered": error.reason, "finish_reason": "content_filter", **record})
            elif error.usage.requests:
                self._keep(key, record)
            if isinstance(error, EndpointFailed):
                raise
            self.stopped = self.stopped or str(error)
            raise Stopped(self.stopped) from None
        self.usage += completion.usage
        usage = before + completion.usage
        record = self.keep(completion) | {"finish_reason": completion.finish_reason, "usage": usage.to_dict()}
        self._keep(key, record)
        return record, usage

    def _keep(self, key: str, record: dict[str, Any]) -> None:
        try:
            self.journal.append(key, record)
        except OSError as error:
            self.stopped = self.stopped or f"the journal cannot be written: {error}"
            raise Stopped(self.stopped) from None


class Fingerprint:
    """A running digest of a transcript: each message is hashed once, however often the transcript is sent."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._count = 0

    def of(self, messages: list[dict[str, Any]]) -> str:
        """Digest of all messages; those given before must be the same."""
        for message in messages[self._count :]:
            self._digest.update(json.dumps(message, sort_keys=True).encode())
        self._count = len(messages)
        return self._digest.hexdigest()[:16]


def text_of(completion: Completion) -> dict[str, Any]:
    """`{content, reasoning}`, calls written into the text."""
    message = completion.message
    return {
        "content": _text(message.get("content")) + _written_calls(message.get("tool_calls")),
        "reasoning": _text(message.get("reasoning_content") or message.get("reasoning")),
    }


def message_of(completion: Completion) -> dict[str, Any]:
    """`{message}` as the server sent it: what this project does not read, the provider may want back."""
    return {"message": {name: value for name, value in completion.message.items() if value}}


def _written_calls(calls: object) -> str:
    """Calls that the server took out of the text, put back as the model wrote them."""
    written = ""
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict):
            arguments = function.get("arguments")
            if not isinstance(arguments, str):
                arguments = json.dumps(arguments)
            name = json.dumps(function.get("name"))
            written += f'<tool_call>{{"name": {name}, "arguments": {_text(arguments)}}}</tool_call>'
    return written


def _text(value: object) -> str:
    """A text that every encoder takes: half of a surrogate pair, legal in a JSON escape, becomes "?"."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""
