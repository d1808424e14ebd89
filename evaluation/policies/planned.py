"""A policy whose visits do not depend on what it reads: one turn that opens them all, one turn that answers."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from evaluation.policies import reader
from navigation import GET_CAPTION, Path, Reply, Task, assistant_message


@dataclass(frozen=True, kw_only=True)
class PlannedPolicy(ABC):
    """Opens the segments of `plan`, then answers with the lexical reader.

    Args:
        seed: Settles ties and random choices, together with the question's id and the sample number.
    """

    seed: int = 0

    name = "planned"
    reasoning = "I open the segments that I planned to open."

    @abstractmethod
    def plan(self, task: Task) -> Sequence[Path]:
        """Segments to open, in order. May be empty."""

    def answer(self, task: Task, messages: list[dict[str, Any]]) -> Reply:
        return reader.answer(task, messages, self.seed)

    @property
    def settings(self) -> dict[str, Any]:
        """What tells this policy from another of its kind; written beside its results."""
        return {key: value for key, value in asdict(self).items() if isinstance(value, (int, float, str, bool))}

    async def reply(self, task: Task, messages: list[dict[str, Any]]) -> Reply:
        if any(message["role"] == "assistant" for message in messages):
            return self.answer(task, messages)
        calls = [(GET_CAPTION, {"segment": list(path)}) for path in self.plan(task)]
        if not calls:
            return self.answer(task, messages)
        return Reply(assistant_message(self.reasoning, calls=calls))
