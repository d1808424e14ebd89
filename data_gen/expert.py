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

from data_gen.corpora.actions import stems
from data_gen.transcript import NAMED, Clause, Transcript
from navigation import (
    GET_CAPTION,
    LETTERS,
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
        rng = random.Random(self._digest(question, task.sample) + bytes([turn % 256]))
        thoughts = _Thoughts(Transcript(question, messages), task.grid, rng)
        if turn >= len(steps):
            return Reply(answer_message(thoughts.conclusion(), question.answer))
        step = steps[turn]
        arguments: dict[str, Any] = {"segment": list(step.path)}
        if step.tool == VIDEO_QA:
            arguments["query"] = thoughts.query()
            return Reply(assistant_message("Make sure.", calls=[(VIDEO_QA, arguments)]))
        back = thoughts.way_back(steps[turn - 1].path) if turn and steps[turn - 1].detour else ""
        thought = back + thoughts.leading_to(step)
        return Reply(assistant_message(thought, calls=[(GET_CAPTION, arguments)]))

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


class _Thoughts:
    """What the expert says before a call and before the answer: each sentence follows from what the transcript shows.

    The quote comes first, then the segment that it leads to, since a small model finds what to write next beside what
    it has just copied; for the same reason the answer's text comes before its letter. Captions that number their parts
    lead by those numbers.
    """

    def __init__(self, read: Transcript, grid: TimeGrid, rng: random.Random) -> None:
        self._read, self._grid, self._rng = read, grid, rng
        self._keywords = [
            word
            for word in dict.fromkeys(_words(read.question.question))
            if word not in _STOPWORDS or word in _RELATIONS
        ]

    def way_back(self, path: SegmentPath) -> str:
        """After a detour to `path`: that what is looked for was not there, unless it was."""
        return "" if self._read.best(self._read.subject, path, NAMED) else "Not there. "

    def leading_to(self, step: Step) -> str:
        """Why to open the step's segment."""
        above = self._read.above(step.path)
        if not self._numbered(above):
            return self._reason(step.path, above)
        # The numbers lead to no detour, and what they lead to is said once.
        quotes = "" if step.detour else self._numbers(step.path, above)
        return f"Look {quotes}" if quotes else "Not read yet."

    def _numbered(self, path: SegmentPath) -> bool:
        return _NUMBERED.search(self._read.captions.get(path, "").lower()) is not None

    def _reason(self, path: SegmentPath, above: SegmentPath) -> str:
        read, address = self._read, format_path(path)
        beside = self._beside(path)
        if beside is not None:
            later = beside.path < path
            if read.order and later == (read.order == "after"):
                asked = f"what comes {read.order} it is {'later' if later else 'earlier'}"
            else:
                asked = "how it goes on is not read yet" if later else "how it began is not read yet"
            return f"“{beside.text}” is in {format_path(beside.path)}; {asked}. Open {address}."
        clause = read.best(read.subject, above)
        if clause is None:
            wanted = [stems(option) for option in read.question.options]
            found = [read.best(words, above, NAMED) for words in wanted]
            named = [each for each in found if each is not None]
            if not named:
                looked_for = f"“{read.asked_for}”" if read.asked_for else "what is asked for"
                return self._pick(
                    f"Nothing read names {looked_for} near {address}, and it is not read yet. Open {address}.",
                    f"{address} is not read yet, and no caption above it names {looked_for}. Open {address}.",
                )
            clause = named[0]
            return f"“{clause.text}”, an option, is in {format_path(above)}. Open its part {address}."
        quote = self._pick(
            f"“{clause.text}” is in {format_path(above)}", f"“{clause.text}” is told in {format_path(above)}"
        )
        told, part = clause.place, (path[-1] - 0.5) / self._grid.width
        if read.order and (part > told) == (read.order == "after"):
            return f"{quote}; what comes {read.order} it should be {_PLACES[_third(part)]} in it. Open {address}."
        if _third(told) == _third(part):
            return f"{quote}, {_PLACES[_third(told)]} in it. So open {address}."
        return f"{quote}; which part shows it is not said. Open {address}."

    def _beside(self, path: SegmentPath) -> Clause | None:
        """A clause that names the subject, opened on the level of `path` and not its own."""
        read = self._read
        level = [each for each in read.clauses if each.opened and len(each.path) == len(path) and each.path != path]
        named = [each for each in level if each.share(read.subject) >= NAMED]
        return named[-1] if named else None

    def _pick(self, *wordings: str) -> str:
        return self._rng.choice(wordings)

    def _numbers(self, path: SegmentPath, above: SegmentPath) -> str:
        """The question's words that the caption above `path` holds and no earlier reasoning named.

        Each comes with its article or preposition in the question and with the number that the caption gives it,
        the first one else with its segment's own number: "in park [3] during dance [1]". Words of order come too, and
        the number they lead to: "after the cup [2] so [3]". At most four words.
        """
        caption = self._read.captions[above]
        said = set(_words(self._read.said))
        numbers = {word: number for number, word in _NUMBERED.findall(caption.lower())}
        found = [word for word in self._keywords if word in _words(caption) and word not in said]
        if not found:
            return ""
        numbers.setdefault(found[0], str(above[-1]))
        relations = _RELATIONS if any(word in numbers for word in found) and len(path) > 2 else frozenset()
        chosen = [word for word in self._keywords if word in found or word in relations][:4]
        asked = _words(self._read.question.question)
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
        """What was read that settles the question, the option's text, its letter; or that nothing settles it."""
        question = self._read.question
        answer = f"{question.options[LETTERS.index(question.answer)]}\n{question.answer}."
        support = self._read.support()
        if support is None:
            return f"Nothing read says which option is right. A guess: {answer}"
        clause = support.clause
        where = format_path(clause.path)
        if not support.named:
            where += f", {clause.written}"
        elif self._read.order and not self._numbered(self._read.above(clause.path)):
            beside = self._told_beside(clause)
            where += f", {self._read.order} “{beside.text}” in {format_path(beside.path)}" if beside else ""
        return f"“{clause.text}” is in {where}. It is {answer}"

    def _told_beside(self, clause: Clause) -> Clause | None:
        """The clause opened latest that names the subject, on the side of `clause` that the question asks for."""
        read = self._read
        named = [each for each in read.clauses if each.opened and each.share(read.subject) >= NAMED]
        place = (clause.path, clause.place)
        right = [each for each in named if ((each.path, each.place) < place) == (read.order == "after")]
        return next((each for each in reversed(right) if each != clause), None)


_PLACES = ("early", "halfway", "late")


def _third(place: float) -> int:
    return min(2, int(3 * place))


def _with_word_before(word: str, asked: Sequence[str]) -> str:
    """A word as it was asked for, with the article or preposition before it: a reader copies a phrase, not a word."""
    place = asked.index(word)
    return f"{asked[place - 1]} {word}" if place and asked[place - 1] in _ARTICLES | _PREPOSITIONS else word


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]
