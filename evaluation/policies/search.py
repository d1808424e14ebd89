"""A policy that looks, thinks and looks again: the loop that the search strategies of the literature share."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from evaluation.policies.mind import LexicalMind, Mind
from evaluation.policies.notes import Note, notes_read
from evaluation.policies.reader import Verdict
from navigation import GET_CAPTION, Reply, SegmentPath, Task, assistant_message
from navigation.tools import parse_path


@dataclass(frozen=True)
class Look:
    """What has been read and tried so far. `notes` are in reading order, the top level first; `left` visits remain."""

    task: Task
    notes: list[Note]
    tried: list[SegmentPath]
    left: int

    def children(self, path: SegmentPath) -> list[SegmentPath]:
        """Parts of a segment that were not tried yet; none of a leaf."""
        grid = self.task.grid
        if grid.is_leaf(path):
            return []
        return [child for n in range(1, grid.width + 1) if (child := (*path, n)) not in set(self.tried)]


@dataclass(frozen=True, kw_only=True)
class SearchPolicy(ABC):
    """Opens segments step by step until `step` names none or the visits are used up; then answers.

    Args:
        seed: Settles ties.
        visits: Most segments to open.
        sure: The confidence at which it stops looking, 0 to 1.
        mind: Who judges.
    """

    seed: int = 0
    visits: int = 8
    sure: float = 0.4
    mind: Mind | None = field(default=None, repr=False, compare=False)

    name = "search"

    def __post_init__(self) -> None:
        if self.mind is None:
            object.__setattr__(self, "mind", LexicalMind(self.seed))

    @abstractmethod
    async def step(self, look: Look) -> tuple[Sequence[SegmentPath], str] | Verdict:
        """Segments to open next, with the reason; or the answer."""

    @property
    def settings(self) -> dict[str, Any]:
        return {"seed": self.seed, "visits": self.visits, "sure": self.sure, **self.mind.settings}

    @property
    def stopped(self) -> str:
        """Why nothing more can be judged; empty while it can."""
        return getattr(self.mind, "stopped", "")

    def account(self, trajectory_id: str) -> dict[str, Any] | None:
        return self.mind.account(trajectory_id)

    async def reply(self, task: Task, messages: list[dict[str, Any]]) -> Reply:
        tried = _tried(messages)
        look = Look(task, notes_read(task, messages), tried, self.visits - len(tried))
        chosen = await self.step(look) if look.left > 0 else ((), "")
        if isinstance(chosen, Verdict):
            return Reply(chosen.message(), *self.mind.spent(task))
        paths, reason = chosen
        if not paths:
            return Reply((await self.mind.verdict(task, look.notes)).message(), *self.mind.spent(task))
        calls = [(GET_CAPTION, {"segment": list(path)}) for path in list(paths)[: look.left]]
        return Reply(assistant_message(reason, calls=calls), *self.mind.spent(task))


def _tried(messages: Sequence[dict[str, Any]]) -> list[SegmentPath]:
    """Segments that were asked for, in order, refused ones included: a refusal repeats."""
    tried = []
    for message in messages:
        if message["role"] == "assistant":
            for call in message.get("tool_calls") or ():
                path = parse_path(call["function"]["arguments"].get("segment"))
                if path is not None:
                    tried.append(path)
    return tried
