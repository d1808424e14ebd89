"""A policy whose visits do not depend on what it reads: one turn that opens them all, one turn that answers."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from evaluation.policies.mind import LexicalMind, Mind
from evaluation.policies.notes import notes_read
from evaluation.policies.reader import Verdict
from navigation import GET_CAPTION, Reply, SegmentPath, Task, assistant_message


@dataclass(frozen=True, kw_only=True)
class PlannedPolicy(ABC):
    """Opens the segments of `plan`, then answers from all that was read.

    Args:
        seed: Settles ties and random choices, together with the question's id and the sample number.
        mind: Who answers; default: the lexical reader.
    """

    seed: int = 0
    mind: Mind | None = field(default=None, repr=False, compare=False)

    name = "planned"
    reasoning = "I open the segments that I planned to open."

    def __post_init__(self) -> None:
        if self.mind is None:
            object.__setattr__(self, "mind", LexicalMind(self.seed))

    @abstractmethod
    def plan(self, task: Task) -> Sequence[SegmentPath]:
        """Segments to open, in order. May be empty."""

    async def verdict(self, task: Task, messages: list[dict[str, Any]]) -> Verdict:
        return await self.mind.verdict(task, notes_read(task, messages))

    @property
    def settings(self) -> dict[str, Any]:
        """What tells this policy from another of its kind; written beside its results."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        plain = {name: value for name, value in values.items() if isinstance(value, (int, float, str, bool))}
        return {**plain, **self.mind.settings}

    @property
    def stopped(self) -> str:
        """Why nothing more can be judged; empty while it can."""
        return getattr(self.mind, "stopped", "")

    def account(self, trajectory_id: str) -> dict[str, Any] | None:
        return self.mind.account(trajectory_id)

    async def reply(self, task: Task, messages: list[dict[str, Any]]) -> Reply:
        if not any(message["role"] == "assistant" for message in messages):
            calls = [(GET_CAPTION, {"segment": list(path)}) for path in self.plan(task)]
            if calls:
                return Reply(assistant_message(self.reasoning, calls=calls))
        return Reply((await self.verdict(task, messages)).message(), *self.mind.spent(task))
