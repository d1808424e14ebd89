"""The scripted teacher: knows where the clue is, and navigates there the way real teachers do, with detours.

It needs no model. From a question's clue intervals it plans which segments to open; on the way it opens plausible wrong
segments, backtracks, and verifies with `video_qa`. Imitating it gives right answers in too many visits, which leaves
GRPO something to gain.
"""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from data_gen.thoughts import Thoughts
from data_gen.transcript import LIKE_IT, Transcript
from navigation import (
    GET_CAPTION,
    SEARCH,
    VIDEO_QA,
    Policy,
    Question,
    Reply,
    SegmentPath,
    Task,
    answer_message,
    assistant_message,
)
from navigation.errors import InputError
from navigation.grid import TimeGrid

MOST_TARGETS = 3


@dataclass(frozen=True, slots=True)
class Step:
    """One planned call. `detour` marks a segment that the clue does not need."""

    tool: str
    path: SegmentPath
    detour: bool = False


def targets(question: Question, grid: TimeGrid) -> list[SegmentPath]:
    """The leaves that settle a question: the one in the middle of each clue interval, at most three, in time order."""
    middles = [(begin + end) / 2 for begin, end in question.clue_intervals]
    return list(dict.fromkeys(grid.path_at(min(middle, grid.duration)) for middle in middles))[:MOST_TARGETS]


class Expert(Policy):
    """Scripted teacher and upper bound: a policy that is given the truth.

    Args:
        questions: The questions it will be asked, with answers and clue intervals.
        seed: Seeds the detours, together with the question's id and the sample number.
        wander: Chance of each further detour before a right segment is opened, 0 to below 1; a detour's number is
            geometric, at most three a level.
        verify: Chance of a `video_qa` call on the last leaf before answering.
    """

    name = "expert"

    def __init__(
        self, questions: Sequence[Question], seed: int = 0, wander: float = 0.0, verify: float | None = None
    ) -> None:
        if not 0 <= wander < 1:
            raise InputError("expert", "wander", wander, "give a chance from 0 to below 1")
        self._questions = {question.id: question for question in questions}
        self._seed, self._wander = seed, wander
        self._verify = wander if verify is None else verify

    async def reply(self, task: Task, messages: list[dict[str, Any]]) -> Reply:
        question = self._questions.get(task.question.id)
        if question is None or not question.clue_intervals:
            raise InputError("expert", "question", task.question.id, "the expert needs this question's clue intervals")
        turn = sum(message["role"] == "assistant" for message in messages)
        read = Transcript(question, messages)
        rng = random.Random(self._digest(question, task.sample) + bytes([turn % 256]))
        thoughts = Thoughts(read, task.grid, rng)
        if any(tool["function"]["name"] == SEARCH for tool in task.tools):
            return self._after_searching(question, task, read, thoughts)
        steps = self.plan(question, task.grid, task.sample)
        if turn >= len(steps):
            return Reply(answer_message(thoughts.conclusion(), question.right_answer))
        step = steps[turn]
        if step.tool == VIDEO_QA:
            arguments = {"segment": list(step.path), "query": thoughts.query()}
            return Reply(assistant_message("Make sure.", calls=[(VIDEO_QA, arguments)]))
        back = thoughts.way_back(steps[turn - 1].path) if turn and steps[turn - 1].detour else ""
        return _opening(step.path, back + thoughts.leading_to(step.path, step.detour))

    def _after_searching(self, question: Question, task: Task, read: Transcript, thoughts: Thoughts) -> Reply:
        """The next message where there is a search: look the question's own words up, open what was found and leads on.

        It answers as soon as what it opened supports the answer. Where nothing found lies near a target, or what comes
        next lies far from it, it descends.
        """
        if not read.searched:
            words = thoughts.searched_for()
            return Reply(assistant_message(thoughts.before_search(words), calls=[(SEARCH, {"query": words})]))
        aims, opened = targets(question, task.grid), read.opened
        if opened and read.support() is not None:
            return Reply(answer_message(thoughts.conclusion(), question.right_answer))
        found = [clause for clause in read.found if clause.path not in opened]
        near = [clause for clause in found if any(_near(clause.path, aim, task.grid) for aim in aims)]
        astray = not any(_near(path, aim, task.grid) for path in opened[-1:] for aim in aims)
        back = thoughts.way_back(opened[-1]) if opened and astray else ""
        if near and astray:
            wrong = [clause for clause in found if clause not in near and clause.share(read.subject) >= LIKE_IT]
            if not opened and wrong and random.Random(self._digest(question, task.sample)).random() < self._wander:
                near = wrong[:1]
            chosen = min(near, key=lambda clause: (clause.path not in aims, -clause.share(read.subject)))
            return _opening(chosen.path, back + thoughts.of_result(chosen))
        for aim in aims:
            if aim not in opened:
                known = len(aim) < 3 or any(_near(path, aim, task.grid) for path in opened if len(path) >= len(aim) - 1)
                path = aim if known else aim[:-1]
                return _opening(path, back + thoughts.leading_to(path))
        return Reply(answer_message(thoughts.conclusion(), question.right_answer))

    def plan(self, question: Question, grid: TimeGrid, sample: int = 0) -> list[Step]:
        """The calls of one trajectory in order: from the second level down to each target, detours before each."""
        rng = random.Random(self._digest(question, sample))
        steps: list[Step] = []
        opened: set[SegmentPath] = set()
        for target in targets(question, grid):
            for level in range(min(2, grid.depth), grid.depth + 1):
                path = target[:level]
                if path in opened:
                    continue
                for wrong in self._detours(path, grid, opened, rng):
                    steps.append(Step(GET_CAPTION, wrong, detour=True))
                    opened.add(wrong)
                steps.append(Step(GET_CAPTION, path))
                opened.add(path)
        if steps and rng.random() < self._verify:
            steps.append(Step(VIDEO_QA, steps[-1].path))
        return steps

    def _digest(self, question: Question, sample: int) -> bytes:
        return hashlib.sha256(f"{self._seed}/{question.id}/{sample}".encode()).digest()

    def _detours(
        self, path: SegmentPath, grid: TimeGrid, opened: set[SegmentPath], rng: random.Random
    ) -> list[SegmentPath]:
        count = 0
        while count < 3 and rng.random() < self._wander:
            count += 1
        # Siblings are plausible; on the second level so are the parts of other top-level segments.
        siblings = [(*path[:-1], child) for child in range(1, grid.width + 1)]
        if len(path) == 2:
            siblings += [(high, path[1]) for high in range(1, grid.width + 1)]
        wrong = [sibling for sibling in dict.fromkeys(siblings) if sibling != path and sibling not in opened]
        return rng.sample(wrong, min(count, len(wrong)))


def _opening(path: SegmentPath, thought: str) -> Reply:
    return Reply(assistant_message(thought, calls=[(GET_CAPTION, {"segment": list(path)})]))


def _near(path: SegmentPath, aim: SegmentPath, grid: TimeGrid) -> bool:
    """Whether a segment is the aim, holds it, is a part of the same segment, or is next to it in time."""
    if path == aim[: len(path)] or (len(path) == len(aim) and path[:-1] == aim[:-1]):
        return True
    (start, end), (begin, until) = grid.interval(path), grid.interval(aim)
    return len(path) == len(aim) and max(begin - end, start - until) <= 0.5 * (until - begin)
