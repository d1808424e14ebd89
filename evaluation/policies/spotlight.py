"""Spotlight and reflect: TimeSearch.

TimeSearch: Hierarchical Video Search with Spotlight and Reflection for Human-like Long Video Understanding (arXiv
2504.01407). As read: Spotlight finds the event that the question is about and looks at it at a finer rate; Reflection
lets the model judge its own answer, and the confidence orders the search: events wait in a queue, the surest is split
into finer ones, and the search ends when the confidence is high enough.

Simplified: events are segments of the tree; a spotlight opens the `beam` most promising parts of an event in one turn;
reflection is the verdict's confidence from those parts alone, times what the event promised; the answer comes from all
that was read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.policies.notes import Note
from evaluation.policies.reader import Verdict
from evaluation.policies.search import Look, SearchPolicy
from navigation import SegmentPath


@dataclass(frozen=True, kw_only=True)
class SpotlightPolicy(SearchPolicy):
    """Opens the best parts of the surest event, reflects, and goes on with the event that is surest then.

    Args:
        beam: Parts opened in one spotlight.
    """

    beam: int = 2

    name = "spotlight"

    @property
    def settings(self) -> dict[str, Any]:
        return {**super().settings, "beam": self.beam}

    async def step(self, look: Look) -> tuple[Sequence[SegmentPath], str] | Verdict:
        if look.tried:
            verdict = await self.mind.verdict(look.task, look.notes)
            if verdict.confidence >= self.sure:
                return verdict
        promises = await self.mind.promise(look.task, look.notes)
        queue = []
        for note, parts in zip(look.notes, promises, strict=True):
            children = look.children(note.path)
            if children:
                trust = max(parts[child[-1] - 1] for child in children)
                queue.append(
                    (trust * (1 + await self._reflection(look, note)), [-n for n in note.path], children, parts)
                )
        if not queue:
            return (), ""
        _, _, children, parts = max(queue, key=lambda event: event[:2])
        children.sort(key=lambda child: (-parts[child[-1] - 1], child))
        return children[: self.beam], "The spotlight goes to the event that seems surest."

    async def _reflection(self, look: Look, event: Note) -> float:
        """How sure the answer is from what lies inside the event; 0 for an event that has not been looked into."""
        inside = [note for note in look.notes if note.path[: len(event.path)] == event.path]
        if len(event.path) == 1 and len(inside) == 1:
            return 0.0
        return (await self.mind.verdict(look.task, inside)).confidence
