"""A policy and an environment that tell what happens while it happens."""

from collections.abc import Callable
from typing import Any

from navigation import GET_CAPTION, VIDEO_QA, NavigationEnvironment, Policy, Reply, SegmentPath, Task, visits_of
from navigation.tools import parse_path
from runtime import OutOfMoney

Tell = Callable[[dict[str, Any]], None]
"""Takes one event. Called from the event loop and from tool threads."""


class WatchedPolicy:
    """Tells each turn: `{"type": "turn", "turn", "reasoning", "content", "calls", "prompt_tokens", …}`.

    Attributes:
        out_of_money: Set where the limit on money ended the walk.
    """

    def __init__(self, policy: Policy, tell: Tell) -> None:
        self._policy, self._tell = policy, tell
        self.out_of_money: OutOfMoney | None = None
        self.name = policy.name
        self._turns = 0

    async def reply(self, task: Task, messages: list[dict[str, Any]]) -> Reply:
        self._tell({"type": "thinking", "turn": self._turns + 1})
        try:
            reply = await self._policy.reply(task, messages)
        except OutOfMoney as error:
            self.out_of_money = error
            raise
        self._turns += 1
        message = reply.message
        self._tell({
            "type": "turn", "turn": self._turns, "reasoning": message.get("reasoning_content") or "",
            "content": message.get("content") or "", "calls": len(message.get("tool_calls") or ()),
            "prompt_tokens": reply.prompt_tokens, "completion_tokens": reply.completion_tokens,
        })  # fmt: skip
        return reply


class WatchedEnvironment(NavigationEnvironment):
    """Tells each call before (`opening`) and after it (`opened`, or `refused`).

    Attributes:
        asked: Segment, query and reply of the current episode's `video_qa` visits, in order.
    """

    def __init__(self, *arguments: Any, tell: Tell) -> None:
        super().__init__(*arguments)
        self._tell = tell
        self.asked: list[tuple[SegmentPath, str, str]] = []

    def reset(self, **question_row: Any) -> str:
        self.asked = []
        return super().reset(**question_row)

    def get_caption(self, segment: list[int]) -> str:
        return self._watched(GET_CAPTION, segment, None, lambda: super(WatchedEnvironment, self).get_caption(segment))

    def video_qa(self, segment: list[int], query: str) -> str:
        return self._watched(VIDEO_QA, segment, query, lambda: super(WatchedEnvironment, self).video_qa(segment, query))

    def _watched(self, tool: str, segment: object, query: object, call: Callable[[], str]) -> str:
        path = parse_path(segment)
        event: dict[str, Any] = {"tool": tool, "path": list(path) if path is not None else None}
        if isinstance(query, str):
            event["query"] = query
        self._tell({"type": "opening", **event})
        before = len(visits_of(self))
        reply = call()
        opened = len(visits_of(self)) > before
        if opened and path is not None:
            start, end = self._current.grid.interval(path)
            event |= {"start": start, "end": end}
            if tool == VIDEO_QA:
                self.asked.append((path, str(query), reply))
        self._tell({"type": "opened" if opened else "refused", **event, "reply": reply})
        return reply
