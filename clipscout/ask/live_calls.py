"""Chat completions for the endpoint policy while somebody waits: nothing is kept, an empty reply is asked for again."""

import re
from typing import Any

from navigation import Task
from runtime import Completion, Endpoint, Unacceptable

_THINK = re.compile(r"\s*<think>(.*?)</think>\s*", re.DOTALL)


class LiveCalls:
    """Stands where an evaluation has its journal of paid calls.

    Args:
        endpoint: Who is asked.
        temperature: Of a reply.
        max_tokens: Of a reply.
    """

    stopped = ""

    def __init__(self, endpoint: Endpoint, temperature: float = 0.0, max_tokens: int = 2048) -> None:
        self.temperature, self.max_tokens = temperature, max_tokens
        self.endpoint = endpoint
        self._spent: dict[str, tuple[int, int]] = {}

    @property
    def settings(self) -> dict[str, Any]:
        model = self.endpoint.settings.model
        return {"model": model, "max_tokens": self.max_tokens, "temperature": self.temperature}

    async def chat(self, task: Task, messages: list[dict[str, Any]], **parameters: Any) -> dict[str, Any]:
        """The reply as `{message, finish_reason}`. Raises EndpointFailed, EndpointDown or OutOfMoney."""
        completion = await self.endpoint.chat(
            messages, self.max_tokens, _accept, temperature=self.temperature, **parameters
        )
        self._spent[task.question.id] = completion.usage.prompt_tokens, completion.usage.completion_tokens
        return {"message": with_reasoning(completion.message), "finish_reason": completion.finish_reason}

    def spent(self, task: Task) -> tuple[int, int]:
        """Prompt and completion tokens of the last reply."""
        return self._spent.pop(task.question.id, (0, 0))


def with_reasoning(message: dict[str, Any]) -> dict[str, Any]:
    """The message with reasoning apart, where a server without a reasoning parser left it in the content."""
    match = _THINK.match(message.get("content") or "")
    if match is None or message.get("reasoning_content"):
        return message
    return {**message, "reasoning_content": match.group(1).strip(), "content": message["content"][match.end() :]}


def _accept(completion: Completion) -> None:
    if not completion.text and not completion.message.get("tool_calls"):
        raise Unacceptable("an empty reply")
