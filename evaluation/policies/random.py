"""Opens segments at random and answers at random: the floor under every other policy."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.policies.planned import PlannedPolicy
from evaluation.policies.reader import Verdict
from evaluation.policies.seeded import generator
from navigation import LETTERS, SegmentPath, Task


@dataclass(frozen=True, kw_only=True)
class RandomPolicy(PlannedPolicy):
    """Opens `visits` different segments of any level, each equally likely, then picks an option at random."""

    visits: int = 4

    name = "random"
    reasoning = "I open some segments at random."
    reads_overview = False

    def plan(self, task: Task) -> Sequence[SegmentPath]:
        draw = generator(self.seed, "random visits", task.question.id, task.sample)
        count = task.grid.segment_count
        return [_segment(task, place) for place in draw.sample(range(count), min(self.visits, count))]

    async def verdict(self, task: Task, messages: list[dict[str, Any]]) -> Verdict:
        letters = LETTERS[: len(task.question.options)]
        letter = generator(self.seed, "random answer", task.question.id, task.sample).choice(letters)
        return Verdict(letter, 0.0, "I pick an option at random.")


def _segment(task: Task, place: int) -> SegmentPath:
    """The segment at a 0-based place among all, levels from the top down."""
    level = 1
    while place >= task.grid.width**level:
        place -= task.grid.width**level
        level += 1
    return task.grid.path(place, level)
