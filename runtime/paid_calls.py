"""Work that is paid for once: what is finished is kept with what it took, and read when it is wanted again."""

import hashlib
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from navigation import RequestFailed, write_json
from runtime import BudgetExceeded, Completion, Endpoint, EndpointDown, EndpointFailed, Filtered, Journal, Usage


class Store(Protocol):
    """Where records are kept by key: a `Journal`, or `RecordFiles`."""

    def __iter__(self) -> Iterator[str]: ...

    def get(self, key: str, default: Any = None) -> Any: ...

    def append(self, key: str, value: Any) -> None: ...


class RecordFiles:
    """Records as small files, one a key; any number of processes may share the folder, and what is in it is whole.

    Args:
        folder: Made with the first record. Keys are names of files in it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __iter__(self) -> Iterator[str]:
        return (path.stem for path in sorted(self.folder.glob("*.json")))

    def get(self, key: str, default: Any = None) -> Any:
        """A record; one that somebody else has damaged is as one that is not there: what it held is made again."""
        try:
            return json.loads((self.folder / f"{key}.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return default

    def append(self, key: str, value: Any) -> None:
        write_json(self.folder / f"{key}.json", value)


class PaidWork:
    """Records with what they took, the failed attempts of earlier runs included.

    Args:
        store: Where they are kept. A piece that has only failed so far has a record as well: its cost.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    def get(self, key: str) -> dict[str, Any] | None:
        """The record of a piece, finished or not."""
        found = self.store.get(key)
        return found if isinstance(found, dict) else None

    def usage(self, key: str) -> Usage:
        """What a piece has taken so far."""
        taken = (self.get(key) or {}).get("usage")
        return Usage.from_dict(taken) if isinstance(taken, dict) else Usage()

    def keep(self, key: str, record: Mapping[str, Any], usage: Usage) -> dict[str, Any]:
        """Keeps a record and adds what it took to what the piece had taken before; returns it as it is kept.

        Raises:
            OSError: it cannot be written.
        """
        kept = {**record, "usage": (self.usage(key) + usage).to_dict()}
        self.store.append(key, kept)
        return kept


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
        self._paid = PaidWork(journal)
        self.stopped = ""
        self.usage = Usage()
        """Of this run's requests."""
        self.earlier = Usage()
        """Of requests that an earlier run paid for."""
        self.reused = 0
        for key in journal:
            self.earlier += self._paid.usage(key)
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
        found = self._paid.get(key)
        if found is not None and "finish_reason" in found:
            self.reused += 1
            if "filtered" in found:
                raise Filtered(found["filtered"], 0, Usage.from_dict(found["usage"]))
            return found, Usage.from_dict(found["usage"])
        if self.stopped:
            raise Stopped(self.stopped)
        try:
            completion = await self.endpoint.chat(await make_messages(), max_tokens, accept, **parameters)
        except (EndpointFailed, EndpointDown, BudgetExceeded) as error:
            self.usage += error.usage
            if isinstance(error, Filtered):
                self._keep(key, {"filtered": error.reason, "finish_reason": "content_filter"}, error.usage)
            elif error.usage.requests:
                self._keep(key, {}, error.usage)
            if isinstance(error, EndpointFailed):
                raise
            self.stopped = self.stopped or str(error)
            raise Stopped(self.stopped) from None
        self.usage += completion.usage
        record = self.keep(completion) | {"finish_reason": completion.finish_reason}
        kept = self._keep(key, record, completion.usage)
        return kept, Usage.from_dict(kept["usage"])

    def _keep(self, key: str, record: dict[str, Any], usage: Usage) -> dict[str, Any]:
        try:
            return self._paid.keep(key, record, usage)
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
