"""Best-first search over the tree with an estimated heuristic and a movement cost: AKeyS.

Agentic Keyframe Search for Video Question Answering (arXiv 2503.16032). As read: the video is a tree of segments; every
node on the frontier has f = g + h, where agents estimate h, how far it is from what the question needs, and g counts
the movement to it; the node of least f is expanded, and after each expansion an agent says whether what was seen is
enough to answer.

Simplified: nodes are captions instead of sampled frames; h is one minus the promise of that part of its parent's
caption; g is the number of edges on the tree between the last opened segment and the node, over the longest such way,
times `movement`; the agent's "enough" is the verdict's confidence.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.policies.reader import Verdict
from evaluation.policies.search import Look, SearchPolicy
from navigation import SegmentPath


@dataclass(frozen=True, kw_only=True)
class BestFirstPolicy(SearchPolicy):
    """Opens the frontier's segment of least estimated cost, one a turn.

    Args:
        movement: Weight of the movement cost.
    """

    movement: float = 0.2

    name = "best_first"

    @property
    def settings(self) -> dict[str, Any]:
        return {**super().settings, "movement": self.movement}

    async def step(self, look: Look) -> tuple[Sequence[SegmentPath], str] | Verdict:
        if look.tried:
            verdict = await self.mind.verdict(look.task, look.notes)
            if verdict.confidence >= self.sure:
                return verdict
        promises = await self.mind.promise(look.task, look.notes)
        longest = 2 * look.task.grid.depth
        at = look.tried[-1] if look.tried else ()
        frontier = [
            (1 - parts[child[-1] - 1] + self.movement * _edges(at, child) / longest, child)
            for note, parts in zip(look.notes, promises, strict=True)
            for child in look.children(note.path)
        ]
        if not frontier:
            return (), ""
        cost, best = min(frontier)
        return [best], f"The nearest unopened segment costs {cost:.2f} by my estimate."


def _edges(start: SegmentPath, end: SegmentPath) -> int:
    """Edges of the way through the tree from one segment to another; from outside it, down from the root."""
    shared = 0
    while shared < min(len(start), len(end)) and start[shared] == end[shared]:
        shared += 1
    return len(start) + len(end) - 2 * shared
