"""Reads every leaf, part by part, then answers from what each part gave: MR. Video.

MR. Video: "MapReduce" is the Principle for Long Video Understanding (arXiv 2504.16082). As read: every short clip is
captioned and analysed for the question on its own (map), and what came of it is gathered into one answer (reduce), so
that the whole video is seen at full density. It is the other end of the scale from navigation: what knowing everything
is worth, and what it costs.

Simplified: clips are the leaves, a map step reads the leaves of one parent; the second round, in which names of people
and things are made consistent, is left out. The lexical mind keeps every caption in its map step.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from evaluation.policies.notes import notes_read
from evaluation.policies.planned import PlannedPolicy
from evaluation.policies.reader import Verdict
from navigation import SegmentPath, Task


@dataclass(frozen=True, kw_only=True)
class ExhaustivePolicy(PlannedPolicy):
    """Opens every leaf in time order; maps over their parents, reduces to an answer."""

    name = "exhaustive"
    reasoning = "I read every leaf in order."

    def plan(self, task: Task) -> Sequence[SegmentPath]:
        return list(task.grid.paths(task.grid.depth))

    async def verdict(self, task: Task, messages: list[dict[str, Any]]) -> Verdict:
        notes = notes_read(task, messages)
        top = [note for note in notes if len(note.path) < task.grid.depth]
        leaves = [note for note in notes if len(note.path) == task.grid.depth]
        parts = [list(group) for _, group in groupby(leaves, key=lambda note: note.path[:-1])]
        mapped = await asyncio.gather(*(self.mind.extract(task, part) for part in parts))
        return await self.mind.verdict(task, [*top, *(note for part in mapped for note in part)])
