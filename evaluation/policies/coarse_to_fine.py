"""Coarse to fine, with a memory to go back to: VideoLucy.

VideoLucy: Deep Memory Backtracking for Long Video Understanding (arXiv 2510.12422). As read: a memory of the whole
video is made on a coarse level; agents find the period that matters most to the question and deepen its memory level by
level; when the answer is still not certain, they go back to the next period that the memory holds, keeping all that was
gathered.

Simplified: the levels are those of the caption tree; the localisation agent is the promise of a note's parts; the
instruction agent, which tells the captioner what to look for, has no place, since captions are written beforehand;
certainty is the verdict's confidence, asked for at the bottom of each descent.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.policies.reader import Verdict
from evaluation.policies.search import Look, SearchPolicy
from navigation import SegmentPath


@dataclass(frozen=True, kw_only=True)
class CoarseToFinePolicy(SearchPolicy):
    """Descends from the most promising segment to a leaf, then backtracks to the next one that the memory holds."""

    name = "coarse_to_fine"

    async def step(self, look: Look) -> tuple[Sequence[SegmentPath], str] | Verdict:
        grid = look.task.grid
        promises = await self.mind.promise(look.task, look.notes)
        memory = dict(zip((note.path for note in look.notes), promises, strict=True))
        last = look.tried[-1] if look.tried else ()
        if last and not grid.is_leaf(last) and last in memory:
            children = look.children(last)
            if children:
                best = max(children, key=lambda child: (memory[last][child[-1] - 1], [-n for n in child]))
                return [best], "This part looks right; I look closer."
        if last:
            verdict = await self.mind.verdict(look.task, look.notes)
            if verdict.confidence >= self.sure:
                return verdict
        # Back: of all that is remembered, the most promising part that was not opened, coarse periods first.
        waiting = [
            (parts[child[-1] - 1], -len(child), [-n for n in child], child)
            for path, parts in memory.items()
            for child in look.children(path)
        ]
        if not waiting:
            return (), ""
        *_, best = max(waiting)
        return [best], "Not certain yet: back to another period." if last else "This period matters most."
