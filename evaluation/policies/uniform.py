"""Uniform sampling: evenly spaced moments whatever the question is, the way IG-VLM and most video models see."""

from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.policies.planned import PlannedPolicy
from navigation import Path, Task


@dataclass(frozen=True, kw_only=True)
class UniformPolicy(PlannedPolicy):
    """Opens the leaves in the middle of `visits` equal parts of the video, then reads."""

    visits: int = 4

    name = "uniform"
    reasoning = "I open leaves at even distances."

    def plan(self, task: Task) -> Sequence[Path]:
        leaves = task.grid.width**task.grid.depth
        count = min(self.visits, leaves)
        # (2i + 1) * leaves // (2 count) is the leaf at the middle of part i, in whole numbers.
        return [task.grid.path((2 * part + 1) * leaves // (2 * count), task.grid.depth) for part in range(count)]
