"""Uniform sampling: evenly spaced moments whatever the question is, the way most video models see.

An Image Grid Can Be Worth a Video (IG-VLM, arXiv 2403.18406). As read: a fixed number of frames at even distances is
laid out as one picture and answered from at once.

Simplified: a moment is the caption of the leaf that holds it, not a frame in a grid.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.policies.planned import PlannedPolicy
from navigation import SegmentPath, Task


@dataclass(frozen=True, kw_only=True)
class UniformPolicy(PlannedPolicy):
    """Opens the leaves in the middle of `visits` equal parts of the video, then reads."""

    visits: int = 4

    name = "uniform"
    reasoning = "I open leaves at even distances."

    def plan(self, task: Task) -> Sequence[SegmentPath]:
        leaves = task.grid.width**task.grid.depth
        count = min(self.visits, leaves)
        # (2i + 1) * leaves // (2 count) is the leaf at the middle of part i, in whole numbers.
        return [task.grid.path((2 * part + 1) * leaves // (2 * count), task.grid.depth) for part in range(count)]
