"""Chat completions of an evaluation: each is paid for once, kept on disk, and counted to its episode."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from navigation import InputError, Task
from runtime import (
    Budget,
    Completion,
    Endpoint,
    EndpointFailed,
    EndpointSettings,
    Journal,
    PriceTable,
    Usage,
)
from runtime.paid_calls import CallCache, message_of


class PaidCalls:
    """One endpoint behind a journal. An episode that was cut and is played again finds its earlier replies there.

    Args:
        settings: Of the endpoint.
        folder: Of the evaluation; replies are kept in `calls.jsonl` there.
        max_tokens: Completion tokens of one reply.
        temperature: Of each reply; the sample's number is its seed.
        max_usd: Stop before more than this is spent on the folder.
        prices: Price table; default: the project's.
    """

    def __init__(
        self,
        settings: EndpointSettings,
        folder: str | Path,
        max_tokens: int = 2048,
        temperature: float = 0.0,
        max_usd: float | None = None,
        prices: str | Path | None = None,
    ) -> None:
        if max_tokens < 1:
            raise InputError("endpoint", "max_tokens", max_tokens, "give a whole number of at least 1")
        self.model, self.max_tokens, self.temperature = settings.model, max_tokens, temperature
        self._extra = settings.body.extra
        self._endpoint = Endpoint(settings, PriceTable(prices) if prices else PriceTable(), Budget(max_usd))
        self._journal = Journal(Path(folder) / "calls.jsonl", self.settings)
        self._calls = CallCache(self._endpoint, self._journal, message_of)
        self._fresh: dict[str, Usage] = {}
        self._episode: dict[str, Usage] = {}
        self._counted: dict[str, set[str]] = {}

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the replies."""
        decided = {"model": self.model, "max_tokens": self.max_tokens, "temperature": self.temperature}
        return {**decided, **({"extra": dict(self._extra)} if self._extra else {})}

    @property
    def usage(self) -> Usage:
        """Of all requests into the folder, those of earlier runs and the failed ones included."""
        return self._calls.usage + self._calls.earlier

    @property
    def notes(self) -> list[str]:
        """What of the requests was changed because the server refuses it."""
        return self._endpoint.notes

    @property
    def stopped(self) -> str:
        """Why no request is sent any more; empty while they are."""
        return self._calls.stopped

    async def close(self) -> None:
        self._journal.close()
        await self._endpoint.__aexit__(None, None, None)

    async def open(self) -> "PaidCalls":
        await self._endpoint.__aenter__()
        return self

    async def chat(
        self,
        task: Task,
        messages: list[dict[str, Any]],
        accept: Callable[[Completion], None] | None = None,
        longest: int | None = None,
        **parameters: Any,
    ) -> dict[str, Any]:
        """The reply `{message, finish_reason, usage}`; equal requests of one episode are asked and counted once.

        Args:
            task: Of the episode.
            messages, accept, longest, parameters: See `Endpoint.chat`.

        Raises:
            EndpointFailed: this request failed for good.
            Stopped: no request is sent any more.
        """
        episode = f"{task.question.id}#{task.sample}"
        request = {"messages": messages, **parameters}
        digest = hashlib.sha256(json.dumps(request, sort_keys=True).encode("utf-8", "backslashreplace")).hexdigest()
        key = f"{episode}/{digest[:24]}"
        parameters |= {"temperature": self.temperature, "seed": task.sample}
        if longest is not None:
            parameters["longest"] = longest
        try:
            record, usage = await self._calls.chat(key, messages, self.max_tokens, accept, **parameters)
        except EndpointFailed as error:
            self._count(episode, key, error.usage)
            raise
        self._count(episode, key, usage)
        return record

    def _count(self, episode: str, key: str, usage: Usage) -> None:
        if key not in self._counted.setdefault(episode, set()):
            self._counted[episode].add(key)
            self._fresh[episode] = self._fresh.get(episode, Usage()) + usage
            self._episode[episode] = self._episode.get(episode, Usage()) + usage

    def spent(self, task: Task) -> tuple[int, int]:
        """Prompt and completion tokens of the episode since the last call of this method."""
        usage = self._fresh.pop(f"{task.question.id}#{task.sample}", Usage())
        return usage.prompt_tokens, usage.completion_tokens

    def account(self, trajectory_id: str) -> dict[str, Any]:
        """Model calls and USD of an episode that has ended; it is forgotten here."""
        calls = len(self._counted.pop(trajectory_id, ()))
        self._fresh.pop(trajectory_id, None)
        return {"model_calls": calls, "usd": self._episode.pop(trajectory_id, Usage()).usd}
