"""Answers without opening anything: what the question alone, or the prompt alone, gives away."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.policies.notes import overview
from evaluation.policies.planned import PlannedPolicy
from evaluation.policies.reader import Verdict
from navigation import SegmentPath, Task


@dataclass(frozen=True, kw_only=True)
class ClosedBookPolicy(PlannedPolicy):
    """The mind with nothing read. The lexical one then only guesses; a language model may know better.

    Args:
        overview: Read the top-level captions that the prompt shows to every policy for nothing.
    """

    overview: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.overview:
            object.__setattr__(self, "name", "overview")

    name = "closed_book"

    @property
    def reads_overview(self) -> bool:
        return self.overview

    def plan(self, task: Task) -> Sequence[SegmentPath]:
        return ()

    async def verdict(self, task: Task, messages: list[dict[str, Any]]) -> Verdict:
        return await self.mind.verdict(task, overview(task) if self.overview else ())
