"""Policies that look, think and look again: the search strategies of the literature."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.policies.judge import JudgedPolicy
from evaluation.policies.notes import Note, notes_read
from evaluation.policies.reader import Verdict
from navigation import GET_CAPTION, Reply, SegmentPath, Task, assistant_message
from navigation.tools import parse_path


@dataclass(frozen=True)
class Look:
    """What has been read and tried so far. `notes` are in reading order, the top level first; `left` visits remain."""

    task: Task
    notes: list[Note]
    tried: list[SegmentPath]
    left: int

    def children(self, path: SegmentPath) -> list[SegmentPath]:
        """Parts of a segment that were not tried yet; none of a leaf."""
        grid = self.task.grid
        if grid.is_leaf(path):
            return []
        return [child for n in range(1, grid.width + 1) if (child := (*path, n)) not in set(self.tried)]


@dataclass(frozen=True, kw_only=True)
class SearchPolicy(JudgedPolicy):
    """Opens segments step by step until `step` names none or the visits are used up; then answers.

    Args:
        visits: Most segments to open.
        sure: The confidence at which it stops looking, 0 to 1.
    """

    visits: int = 8
    sure: float = 0.4

    name = "search"

    @abstractmethod
    async def step(self, look: Look) -> tuple[Sequence[SegmentPath], str] | Verdict:
        """Segments to open next, with the reason; or the answer."""

    @property
    def settings(self) -> dict[str, Any]:
        return {"seed": self.seed, "visits": self.visits, "sure": self.sure, **self.judge.settings}

    async def sure_verdict(self, look: Look) -> Verdict | None:
        """The answer, if anything was opened and the judge is sure enough of what was read."""
        verdict = await self.judge.verdict(look.task, look.notes) if look.tried else None
        return verdict if verdict is not None and verdict.confidence >= self.sure else None

    async def reply(self, task: Task, messages: list[dict[str, Any]]) -> Reply:
        tried = _tried(messages)
        look = Look(task, notes_read(task, messages), tried, self.visits - len(tried))
        chosen = await self.step(look) if look.left > 0 else ((), "")
        if isinstance(chosen, Verdict):
            return Reply(chosen.message(), *self.judge.spent(task))
        paths, reason = chosen
        if not paths:
            return Reply((await self.judge.verdict(task, look.notes)).message(), *self.judge.spent(task))
        calls = [(GET_CAPTION, {"segment": list(path)}) for path in list(paths)[: look.left]]
        return Reply(assistant_message(reason, calls=calls), *self.judge.spent(task))


def _tried(messages: Sequence[dict[str, Any]]) -> list[SegmentPath]:
    """Segments that were asked for, in order, refused ones included: a refusal repeats."""
    tried = []
    for message in messages:
        if message["role"] == "assistant":
            for call in message.get("tool_calls") or ():
                path = parse_path(call["function"]["arguments"].get("segment"))
                if path is not None:
                    tried.append(path)
    return tried


@dataclass(frozen=True, kw_only=True)
class BestFirstPolicy(SearchPolicy):
    """Opens the frontier's segment of least estimated cost, one a turn.

    AKeyS: Agentic Keyframe Search for Video Question Answering (arXiv 2503.16032). As read: the video is a tree of
    segments; every node on the frontier has f = g + h, where agents estimate h, how far it is from what the question
    needs, and g counts the movement to it; the node of least f is expanded, and after each expansion an agent says
    whether what was seen is enough to answer.

    Simplified: nodes are captions instead of sampled frames; h is one minus the promise of that part of its parent's
    caption; g is the number of edges on the tree between the last opened segment and the node, over the longest such
    way, times `movement`; the agent's "enough" is the verdict's confidence.

    Args:
        movement: Weight of the movement cost.
    """

    movement: float = 0.2

    name = "best_first"

    @property
    def settings(self) -> dict[str, Any]:
        return {**super().settings, "movement": self.movement}

    async def step(self, look: Look) -> tuple[Sequence[SegmentPath], str] | Verdict:
        if verdict := await self.sure_verdict(look):
            return verdict
        promises = await self.judge.promise(look.task, look.notes)
        longest = 2 * look.task.grid.depth
        at: SegmentPath = look.tried[-1] if look.tried else ()
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


@dataclass(frozen=True, kw_only=True)
class CoarseToFinePolicy(SearchPolicy):
    """Descends from the most promising segment to a leaf, then backtracks to the next one that the memory holds.

    VideoLucy: Deep Memory Backtracking for Long Video Understanding (arXiv 2510.12422). As read: a memory of the whole
    video is made on a coarse level; agents find the period that matters most to the question and deepen its memory
    level by level; when the answer is still not certain, they go back to the next period that the memory holds, keeping
    all that was gathered.

    Simplified: the levels are those of the caption tree; the localisation agent is the promise of a note's parts; the
    instruction agent, which tells the captioner what to look for, has no place, since captions are written beforehand;
    certainty is the verdict's confidence, asked for at the bottom of each descent.
    """

    name = "coarse_to_fine"

    async def step(self, look: Look) -> tuple[Sequence[SegmentPath], str] | Verdict:
        grid = look.task.grid
        promises = await self.judge.promise(look.task, look.notes)
        memory = dict(zip((note.path for note in look.notes), promises, strict=True))
        last: SegmentPath = look.tried[-1] if look.tried else ()
        if last and not grid.is_leaf(last) and last in memory:
            children = look.children(last)
            if children:
                best = max(children, key=lambda child: (memory[last][child[-1] - 1], [-n for n in child]))
                return [best], "This part looks right; I look closer."
        if verdict := await self.sure_verdict(look):
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


@dataclass(frozen=True, kw_only=True)
class SpotlightPolicy(SearchPolicy):
    """Opens the best parts of the surest event, reflects, and goes on with the event that is surest then.

    TimeSearch: Hierarchical Video Search with Spotlight and Reflection for Human-like Long Video Understanding (arXiv
    2504.01407). As read: Spotlight finds the event that the question is about and looks at it at a finer rate;
    Reflection lets the model judge its own answer, and the confidence orders the search: events wait in a queue, the
    surest is split into finer ones, and the search ends when the confidence is high enough.

    Simplified: events are segments of the tree; a spotlight opens the `beam` most promising parts of an event in one
    turn; reflection is the verdict's confidence from those parts alone, times what the event promised; the answer comes
    from all that was read.

    Args:
        beam: Parts opened in one spotlight.
    """

    beam: int = 2

    name = "spotlight"

    @property
    def settings(self) -> dict[str, Any]:
        return {**super().settings, "beam": self.beam}

    async def step(self, look: Look) -> tuple[Sequence[SegmentPath], str] | Verdict:
        if verdict := await self.sure_verdict(look):
            return verdict
        promises = await self.judge.promise(look.task, look.notes)
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
        return (await self.judge.verdict(look.task, inside)).confidence
