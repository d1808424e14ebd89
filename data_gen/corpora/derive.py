"""Multiple-choice questions derived from annotated actions; every text and every time in them is a human's.

Kinds: `after` and `before` (the neighbouring step), `when` (options are steps' spans), `part` (a step's own part among
other steps' parts). A question is made only where its anchor is unique in the video and three real distractors exist
that are distinct from the right option and not themselves right.
"""

import random
from collections import Counter
from collections.abc import Iterable, Sequence

from data_gen.corpora.actions import Action, AnnotatedVideo, similar, stems
from data_gen.corpora.compose import compose
from data_gen.corpora.corpus import Corpus, LazyTrees, balanced_letter, generator, keep, place_answer, shuffled
from data_gen.corpora.rows import Skips
from navigation import Question
from navigation.grid import clock

DISTRACTORS = 3
EDGE = 10.0
"""Seconds of a step's end, and of the next one's begin, that settle which follows which."""
SLACK = 2.0
"""Seconds by which neighbouring annotations may overlap and still follow one another."""


def derive(video: AnnotatedVideo, source: str, seed: int) -> tuple[list[Question], Counter[str]]:
    """All questions of one video, by kind and time, and how many were not made for which reason."""
    derivation = _Derivation(video, source, seed)
    derivation.run()
    return derivation.made, derivation.not_made


class _Derivation:
    def __init__(self, video: AnnotatedVideo, source: str, seed: int) -> None:
        self.video, self.source, self.seed = video, source, seed
        self.steps = list(video.steps)
        self.parts = [(step, part) for step in self.steps for part in step.parts]
        self.made: list[Question] = []
        self.made_of_kind: Counter[str] = Counter()
        self.not_made: Counter[str] = Counter()

    def run(self) -> None:
        anchors = self._anchors()
        follows = self._follows()
        for index in anchors:
            self._neighbour("after", index, index + 1, follows)
        for index in anchors:
            self._neighbour("before", index, index - 1, follows)
        for index in anchors:
            self._when(self.steps[index])
        for index in anchors:
            if self.steps[index].parts:
                self._part(self.steps[index])

    def _anchors(self) -> list[int]:
        """Indices of steps whose wording no other step has, nor a part of another step."""
        owners: dict[frozenset[str], set[int]] = {}
        for index, step in enumerate(self.steps):
            for action in (step, *step.parts):
                owners.setdefault(action.stems, set()).add(index)
        found = [index for index, step in enumerate(self.steps) if len(owners[step.stems]) == 1]
        self.not_made["step not unique in its video"] += len(self.steps) - len(found)
        return found

    def _follows(self) -> list[bool]:
        """For each step, whether the next one begins after it and nothing else was under way or began with it."""
        clean, latest = [], 0.0
        for index, step in enumerate(self.steps):
            before, latest = latest, max(latest, step.end)
            if index + 1 == len(self.steps):
                clean.append(False)
                continue
            begin = self.steps[index + 1].start
            third = self.steps[index + 2].start if index + 2 < len(self.steps) else float("inf")
            clean.append(latest <= begin + SLACK and third >= begin + SLACK and before <= step.start + SLACK)
        return clean

    def _neighbour(self, kind: str, index: int, other: int, follows: Sequence[bool]) -> None:
        if not 0 <= other < len(self.steps):
            self.not_made["no neighbouring step"] += 1
            return
        if not follows[min(index, other)]:
            self.not_made["steps overlap"] += 1
            return
        anchor, right = self.steps[index], self.steps[other]
        if similar(anchor.stems, right.stems):
            self.not_made["neighbour says the same"] += 1
            return
        chance = self._chance(kind, anchor)
        fits = (
            step.text
            for step in shuffled(self.steps, chance)
            if not similar(step.stems, anchor.stems) and _differs(step, right)
        )
        first, second = self.steps[min(index, other)], self.steps[max(index, other)]
        tail = (max(first.start, first.end - EDGE), first.end)
        head = (second.start, min(second.end, second.start + EDGE))
        text = f"Which step comes right {kind} “{anchor.text}”?"
        self._add(kind, anchor, text, right.text, fits, _merged(tail, head))

    def _when(self, anchor: Action) -> None:
        def elsewhere(step: Action) -> bool:
            return (step.end <= anchor.start or step.start >= anchor.end) and not any(
                similar(action.stems, anchor.stems) for action in (step, *step.parts)
            )

        fits = (_span_text(step) for step in shuffled(self.steps, self._chance("when", anchor)) if elsewhere(step))
        span = ((anchor.start, anchor.end),)
        self._add("when", anchor, f"When does “{anchor.text}” happen?", _span_text(anchor), fits, span)

    def _part(self, anchor: Action) -> None:
        chance = self._chance("part", anchor)
        own = [part.stems for part in anchor.parts]
        # By words shared with the step: options that share equally many give nothing away without the video.
        inside: dict[int, Action] = {}
        for part in shuffled(anchor.parts, chance):
            within = anchor.start - SLACK <= part.start and part.end <= anchor.end + SLACK
            if within and not similar(part.stems, anchor.stems):
                inside.setdefault(len(part.stems & anchor.stems), part)
        if not inside:
            self.not_made["every part says what its step says"] += 1
            return

        def foreign(step: Action, part: Action, right: Action, shared: int) -> bool:
            return (
                step is not anchor
                and len(part.stems & anchor.stems) == shared
                and not similar(step.stems, anchor.stems)
                and not similar(part.stems, anchor.stems)
                and not any(similar(part.stems, mine) for mine in own)
                and _differs(part, right)
            )

        for shared, right in inside.items():
            fits = (part.text for step, part in shuffled(self.parts, chance) if foreign(step, part, right, shared))
            if wrong := _distinct(fits, right.text, similar_is_same=True):
                text = f"Which of these is a part of “{anchor.text}”?"
                self._add("part", anchor, text, right.text, wrong, ((right.start, right.end),))
                return
        self.not_made["fewer than three distractors"] += 1

    def _chance(self, kind: str, anchor: Action) -> random.Random:
        return generator(self.seed, self.video.video_id, kind, anchor.number)

    def _add(
        self,
        kind: str,
        anchor: Action,
        text: str,
        right: str,
        fits: Iterable[str],
        clues: Sequence[tuple[float, float]],
    ) -> None:
        wrong = _distinct(fits, right, similar_is_same=kind != "when")
        if wrong is None:
            self.not_made["fewer than three distractors"] += 1
            return
        letter = balanced_letter(
            self.made_of_kind[kind], DISTRACTORS + 1, self.seed, self.source, self.video.video_id, kind
        )
        self.made_of_kind[kind] += 1
        self.made.append(
            Question(
                id=f"{self.source}/{self.video.video_id}/{kind}/{anchor.number}",
                video_id=self.video.video_id,
                question=text,
                options=place_answer(right, wrong, letter),
                answer=letter,
                clue_intervals=tuple(clues),
                duration=self.video.duration,
                source=self.source,
                kind=kind,
            )
        )


def _distinct(texts: Iterable[str], right: str, similar_is_same: bool) -> list[str] | None:
    """The first three texts that differ from `right` and from one another; none if there are fewer."""
    taken = [right]
    for text in texts:
        if not any(similar(stems(old), stems(text)) if similar_is_same else old == text for old in taken):
            taken.append(text)
            if len(taken) > DISTRACTORS:
                return taken[1:]
    return None


def _differs(action: Action, right: Action) -> bool:
    """Whether `action` is another thing than `right`: one taxonomy label may stand for two wordings of one action."""
    return not similar(action.stems, right.stems) and not (action.category and action.category == right.category)


def _span_text(action: Action) -> str:
    return f"{clock(action.start)}-{clock(action.end)}"


def _merged(first: tuple[float, float], second: tuple[float, float]) -> tuple[tuple[float, float], ...]:
    if second[0] <= first[1]:
        return ((min(first[0], second[0]), max(first[1], second[1])),)
    return first, second


def annotated_corpus(
    name: str,
    videos: Sequence[AnnotatedVideo],
    skips: Skips,
    seed: int,
    limit: int | None,
    questions: Iterable[Question] = (),
) -> Corpus:
    """Derives questions, beside those that the source has of its own; trees are composed when they are asked for."""
    questions = list(questions)
    not_derived: Counter[str] = Counter()
    for video in videos:
        made, not_made = derive(video, name, seed)
        questions.extend(made)
        not_derived.update(not_made)
    questions = keep(questions, seed, limit)
    asked = {question.video_id for question in questions}
    by_id = {video.video_id: video for video in videos if video.video_id in asked}
    trees = LazyTrees(list(by_id), lambda video_id: compose(by_id[video_id], f"{name} annotations"))
    return Corpus(name, questions, trees, skips.rows, dict(+not_derived))
