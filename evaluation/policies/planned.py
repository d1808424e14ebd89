"""Policies whose visits do not depend on what they read: uniform, random, exhaustive, closed book."""

import asyncio
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import groupby
from typing import Any

from evaluation.policies.judge import JudgedPolicy
from evaluation.policies.notes import notes_read, overview
from evaluation.policies.reader import UNKNOWN, Verdict, generator
from navigation import GET_CAPTION, LETTERS, Reply, SegmentPath, Task, assistant_message


@dataclass(frozen=True, kw_only=True)
class PlannedPolicy(JudgedPolicy):
    """Opens the segments of `plan`, then answers from all that was read."""

    name = "planned"
    reasoning = "I open the segments that I planned to open."

    @abstractmethod
    def plan(self, task: Task) -> Sequence[SegmentPath]:
        """Segments to open, in order. May be empty."""

    async def verdict(self, task: Task, messages: list[dict[str, Any]]) -> Verdict:
        return await self.judge.verdict(task, notes_read(task, messages))

    @property
    def settings(self) -> dict[str, Any]:
        """What tells this policy from another of its kind; written beside its results."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        plain = {name: value for name, value in values.items() if isinstance(value, (int, float, str, bool))}
        return {**plain, **self.judge.settings}

    async def reply(self, task: Task, messages: list[dict[str, Any]]) -> Reply:
        if not any(message["role"] == "assistant" for message in messages):
            calls = [(GET_CAPTION, {"segment": list(path)}) for path in self.plan(task)]
            if calls:
                return Reply(assistant_message(self.reasoning, calls=calls))
        return Reply((await self.verdict(task, messages)).message(), *self.judge.spent(task))


@dataclass(frozen=True, kw_only=True)
class UniformPolicy(PlannedPolicy):
    """Opens the leaves in the middle of `visits` equal parts of the video, then reads.

    Evenly spaced moments whatever the question is, the way most video models see: An Image Grid Can Be Worth a Video
    (IG-VLM, arXiv 2403.18406). As read: a fixed number of frames at even distances is laid out as one picture and
    answered from at once.

    Simplified: a moment is the caption of the leaf that holds it, not a frame in a grid.
    """

    visits: int = 4

    name = "uniform"
    reasoning = "I open leaves at even distances."

    def plan(self, task: Task) -> Sequence[SegmentPath]:
        leaves = task.grid.width**task.grid.depth
        count = min(self.visits, leaves)
        # (2i + 1) * leaves // (2 count) is the leaf at the middle of part i, in whole numbers.
        return [task.grid.path((2 * part + 1) * leaves // (2 * count), task.grid.depth) for part in range(count)]


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
        if not letters:
            return Verdict(UNKNOWN, 0.0, "There is nothing to pick from.")
        letter = generator(self.seed, "random answer", task.question.id, task.sample).choice(letters)
        return Verdict(letter, 0.0, "I pick an option at random.")


def _segment(task: Task, place: int) -> SegmentPath:
    """The segment at a 0-based place among all, levels from the top down."""
    level = 1
    while place >= task.grid.width**level:
        place -= task.grid.width**level
        level += 1
    return task.grid.path(place, level)


@dataclass(frozen=True, kw_only=True)
class ExhaustivePolicy(PlannedPolicy):
    """Opens every leaf in time order; maps over their parents, reduces to an answer.

    MR. Video: "MapReduce" is the Principle for Long Video Understanding (arXiv 2504.16082). As read: every short clip
    is captioned and analysed for the question on its own (map), and what came of it is gathered into one answer
    (reduce), so that the whole video is seen at full density. It is the other end of the scale from navigation: what
    knowing everything is worth, and what it costs.

    Simplified: clips are the leaves, a map step reads the leaves of one parent; the second round, in which names of
    people and things are made consistent, is left out. The lexical judge keeps every caption in its map step.
    """

    name = "exhaustive"
    reasoning = "I read every leaf in order."

    def plan(self, task: Task) -> Sequence[SegmentPath]:
        return list(task.grid.paths(task.grid.depth))

    async def verdict(self, task: Task, messages: list[dict[str, Any]]) -> Verdict:
        notes = notes_read(task, messages)
        top = [note for note in notes if len(note.path) < task.grid.depth]
        leaves = [note for note in notes if len(note.path) == task.grid.depth]
        parts = [list(group) for _, group in groupby(leaves, key=lambda note: note.path[:-1])]
        mapped = await asyncio.gather(*(self.judge.extract(task, part) for part in parts))
        return await self.judge.verdict(task, [*top, *(note for part in mapped for note in part)])


@dataclass(frozen=True, kw_only=True)
class ClosedBookPolicy(PlannedPolicy):
    """The judge with nothing read. The lexical one then only guesses; a language model may know better.

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
        return await self.judge.verdict(task, overview(task) if self.overview else ())
