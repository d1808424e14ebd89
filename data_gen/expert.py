"""The scripted teacher: knows where the clue is, and navigates there the way real teachers do, with detours.

It needs no model. From a question's clue intervals it plans which segments to open; on the way it opens plausible wrong
segments, backtracks, and verifies with `video_qa`. Imitating it gives right answers in too many visits, which leaves
GRPO something to gain.
"""

import hashlib
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from navigation import (
    GET_CAPTION,
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
from navigation.grid import TimeGrid, format_path

_WORD = re.compile(r"[^\W\d_]+")
_NUMBERED = re.compile(r"\[(\d+)\] ([^\W\d_]+)")
_RELATIONS = frozenset({"after", "before", "first", "last", "until", "while", "following", "previous"})
_PREPOSITIONS = frozenset(["at", "by", "during", "from", "in", "into", "on", "under", "with"])
_ARTICLES = frozenset(["a", "an", "her", "his", "the", "their", "your"])
_STOPWORDS = frozenset(
    _WORD.findall(
        """a an and are as at be by did do does during for from has have he her his in into is it its of on or she some
        that the their them then there they thing this time to was what when where which who why will with you your"""
    )
)
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
        steps = self.plan(question, task.grid, task.sample)
        seen = _Seen(question, messages)
        if turn >= len(steps):
            return Reply(answer_message(seen.conclusion(), question.answer))
        step = steps[turn]
        backtrack = "Not there. " if turn and steps[turn - 1].detour else ""
        arguments: dict[str, Any] = {"segment": list(step.path)}
        if step.tool == VIDEO_QA:
            arguments["query"] = seen.query()
            return Reply(assistant_message("Make sure.", calls=[(VIDEO_QA, arguments)]))
        if step.detour:
            return Reply(assistant_message(f"{backtrack}Maybe here.", calls=[(GET_CAPTION, arguments)]))
        quotes = seen.quotes(step.path)
        look = f"Look {quotes}" if quotes else "Look closer."
        return Reply(assistant_message(f"{backtrack}{look}", calls=[(GET_CAPTION, arguments)]))

    def plan(self, question: Question, grid: TimeGrid, sample: int = 0) -> list[Step]:
        """The calls of one trajectory in order: from the second level down to each target, detours before each."""
        digest = hashlib.sha256(f"{self._seed}/{question.id}/{sample}".encode()).digest()
        rng = random.Random(digest)
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


class _Seen:
    """What the transcript has shown, against the question's words. Reads only what a policy could read."""

    def __init__(self, question: Question, messages: list[dict[str, Any]]) -> None:
        self._question = question
        self._replies = [message["content"] for message in messages if message["role"] == "tool"]
        self._prompt = messages[-1]["content"] if messages[-1]["role"] == "user" else messages[1]["content"]
        self._said = " ".join(m.get("reasoning_content") or "" for m in messages if m["role"] == "assistant")
        self._keywords = [
            word for word in dict.fromkeys(_words(question.question)) if word not in _STOPWORDS or word in _RELATIONS
        ]

    def quotes(self, path: SegmentPath) -> str:
        """The question's words that the nearest shown caption above `path` holds and no earlier reasoning named.

        Each comes with its article or preposition in the question and with the number that the caption gives it,
        the first one else with its segment's own number: "in park [3] during dance [1]". Where parts are numbered,
        words of order come too, and the number they lead to: "after the cup [2] so [3]". At most four words.
        """
        address, caption = self._caption_above(path)
        said = set(_words(self._said))
        numbers = {word: number for number, word in _NUMBERED.findall(caption.lower())}
        found = [word for word in self._keywords if word in _words(caption) and word not in said]
        if not found:
            return ""
        if found[0] not in numbers and address:
            numbers[found[0]] = str(address[-1])
        relations = _RELATIONS if any(word in numbers for word in found) and len(path) > 2 else frozenset()
        chosen = [word for word in self._keywords if word in found or word in relations][:4]
        asked = _words(self._question.question)
        named = [_with_word_before(word, asked) for word in chosen]
        if named[0].split()[0] not in _PREPOSITIONS | _RELATIONS:
            named[0] = f"for {named[0]}"
        quoted = " ".join(
            f"{name} [{numbers[word]}]" if word in numbers else name for name, word in zip(named, chosen, strict=True)
        )
        # What comes after or before a numbered word is the neighbouring number: said before it is opened.
        beside = relations and str(path[-1]) not in (numbers.get(word) for word in found)
        return f"{quoted} so [{path[-1]}]" if beside else quoted

    def query(self) -> str:
        return " ".join(self._keywords[-2:])

    def conclusion(self) -> str:
        option = self._question.options["ABCDEFGHIJKLMNOPQRSTUVWXYZ".index(self._question.answer)]
        if self._replies and option.lower() in self._replies[-1].lower():
            return f"It is {option}\n{self._question.answer}."
        return "That settles it."

    def _caption_above(self, path: SegmentPath) -> tuple[SegmentPath, str]:
        """The nearest shown ancestor of `path` and its caption."""
        shown = self._prompt.splitlines() + [line for reply in self._replies for line in reply.splitlines()]
        for level in range(len(path) - 1, 0, -1):
            address = f"{format_path(path[:level])} "
            for line in reversed(shown):
                _, _, text = line.partition(" ")  # the time comes first
                if text.startswith(address):
                    return path[:level], text.removeprefix(address)
        return (), ""


def _with_word_before(word: str, asked: Sequence[str]) -> str:
    """A word as it was asked for, with the article or preposition before it: a reader copies a phrase, not a word."""
    place = asked.index(word)
    return f"{asked[place - 1]} {word}" if place and asked[place - 1] in _ARTICLES | _PREPOSITIONS else word


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]
