"""Answers without opening anything: what the question alone, or the prompt alone, gives away."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.policies import reader
from evaluation.policies.notes import overview
from evaluation.policies.planned import PlannedPolicy
from navigation import Path, Reply, Task


@dataclass(frozen=True, kw_only=True)
class ClosedBookPolicy(PlannedPolicy):
    """The reader with nothing read. A lexical reader then only guesses; a language model in its place would not.

    Args:
        overview: Read the top-level captions that the prompt shows to every policy for nothing.
    """

    overview: bool = False

    def __post_init__(self) -> None:
        if self.overview:
            object.__setattr__(self, "name", "overview")

    name = "closed_book"

    def plan(self, task: Task) -> Sequence[Path]:
        return ()

    def answer(self, task: Task, messages: list[dict[str, Any]]) -> Reply:
        return reader.answer_from(task, overview(task) if self.overview else (), self.seed)
