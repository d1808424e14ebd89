"""A corpus as every later stage sees it, its folder, its open form, and seeded choices by ids alone."""

import hashlib
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from navigation import LETTERS, CaptionTree, Question, SkippedRow, TreeStore, write_jsonl


@dataclass
class Corpus:
    """Questions, the caption trees they are about, and the source rows that could not be used.

    Args:
        name: The name it is registered under; also `Question.source`.
        questions: Every id once, grouped by video or in the file's order.
        trees: One tree per video with a kept question, composed when it is asked for; can be iterated again. Empty
            where the trees come from captioning the videos.
        skipped: Source rows that became no question or no part of one, each with its reason.
        not_derived: Questions that sound annotations did not allow, by reason (derived corpora only).
    """

    name: str
    questions: list[Question]
    trees: Iterable[CaptionTree] = ()
    skipped: list[SkippedRow] = field(default_factory=list)
    not_derived: dict[str, int] = field(default_factory=dict)

    @property
    def skipped_by_reason(self) -> dict[str, int]:
        """How many rows were skipped for each reason, most frequent first."""
        return dict(Counter(row.reason for row in self.skipped).most_common())


class LazyTrees:
    """Caption trees composed one at a time, again at each iteration, so that a corpus of any size fits in memory.

    Args:
        video_ids: Which videos, in this order.
        compose: Makes the tree of one video.
    """

    def __init__(self, video_ids: Sequence[str], compose: Callable[[str], CaptionTree]) -> None:
        self.video_ids = video_ids
        self.compose = compose

    def __iter__(self) -> Iterator[CaptionTree]:
        return map(self.compose, self.video_ids)

    def __len__(self) -> int:
        return len(self.video_ids)


Item = TypeVar("Item")


def generator(*parts: object) -> random.Random:
    """A random generator seeded by the parts' texts; the same in every process and on every machine."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode("utf-8", "surrogatepass")).digest()
    return random.Random(int.from_bytes(digest[:16], "big"))


def shuffled(items: Sequence[Item], chance: random.Random) -> Iterator[Item]:
    """The items in random order, drawn one at a time: taking k of them costs O(k), not O(len)."""
    moved: dict[int, int] = {}
    for first in range(len(items)):
        other = chance.randrange(first, len(items))
        yield items[moved.get(other, other)]
        moved[other] = moved.get(first, first)


def balanced_letter(number: int, count: int, *parts: object) -> str:
    """The right letter of a group's `number`-th question (0-based): in every block of `count`, each letter once."""
    block, place = divmod(number, count)
    letters = list(LETTERS[:count])
    generator("letters", *parts, block).shuffle(letters)
    return letters[place]


def place_answer(right: str, distractors: Sequence[str], letter: str) -> tuple[str, ...]:
    """Options with the right one under `letter`."""
    position = LETTERS.index(letter)
    return (*distractors[:position], right, *distractors[position:])


def keep(questions: list[Question], seed: int, limit: int | None) -> list[Question]:
    """At most `limit` questions at random, in their old order; a smaller limit keeps part of what a larger one does."""
    if limit is None or len(questions) <= limit:
        return questions
    ranked = sorted(questions, key=lambda question: (generator("limit", seed, question.id).random(), question.id))
    chosen = {question.id for question in ranked[:limit]}
    return [question for question in questions if question.id in chosen]


def write_corpus(corpus: Corpus, out: str | Path) -> dict[str, Any]:
    """Writes `questions.jsonl`, `trees/<video>.json` and `skipped.jsonl` under `out`, each whole or not at all.

    Returns:
        What was written: see `corpus_stats`, plus `segments`, the number of captions over all trees.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    store = TreeStore(out / "trees")
    trees, segments = 0, 0
    for tree in corpus.trees:
        store.save(tree)
        trees += 1
        segments += len(tree.captions)
    write_jsonl(out / "skipped.jsonl", (row.to_dict() for row in corpus.skipped))
    # Last: a folder with questions has the trees that they are about.
    write_jsonl(out / "questions.jsonl", (question.to_dict() for question in corpus.questions))
    return corpus_stats(corpus) | {"trees": trees, "segments": segments}


def corpus_stats(corpus: Corpus) -> dict[str, Any]:
    """Counts of a corpus, from its questions and skipped rows alone.

    `duration_seconds` describes videos (each once), `clue_seconds` the summed clue length of questions that have one.
    """
    durations = {question.video_id: question.duration for question in corpus.questions}
    clues = [
        sum(end - begin for begin, end in question.clue_intervals)
        for question in corpus.questions
        if question.clue_intervals
    ]
    return {
        "corpus": corpus.name,
        "videos": len(durations),
        "questions": len(corpus.questions),
        "questions_by_kind": _counts(question.kind for question in corpus.questions),
        "questions_by_answer": _counts(question.answer or "in words" for question in corpus.questions),
        "questions_by_options": _counts(str(len(question.options)) for question in corpus.questions),
        "questions_without_clues": len(corpus.questions) - len(clues),
        "duration_seconds": _spread(list(durations.values())),
        "clue_seconds": _spread(clues),
        "skipped": len(corpus.skipped),
        "skipped_by_reason": corpus.skipped_by_reason,
        "not_derived_by_reason": dict(sorted(corpus.not_derived.items())),
    }


def _counts(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))


def _spread(values: list[float]) -> dict[str, float] | None:
    if not values:
        return None
    low, middle, high = np.quantile(values, [0.0, 0.5, 1.0])
    return {
        "min": round(float(low), 3),
        "median": round(float(middle), 3),
        "mean": round(float(np.mean(values)), 3),
        "max": round(float(high), 3),
    }


_OF_OPTIONS = re.compile(
    r"\bwhich (?:one )?of (?:the|these|those|following|them)\b|\bthe following\b|\bfollowing (?:options|statements)\b"
    r"|\b(?:options?|choices?|statements?) (?:below|above|is|are|best|most|correctly|that)\b"
    r"|\bwhich (?:option|choice)\b"
    r"|\bis (?:not|incorrect|false)\?$|\bwhich is (?:correct|incorrect|true|false)\b|\b(?:except|cannot be inferred)\b",
    re.IGNORECASE,
)
_OF_OTHERS = re.compile(
    r"\b(?:all|none|both|neither|either|any) (?:of )?(?:the )?(?:above|these|those|options|them|others)\b"
    r"|^(?:both|neither|options?)\W+(?:options? )?\(?[A-Z]\)?\W+(?:and|or|nor)\W+\(?[A-Z]\)?\W*$"
    r"|^[①-⑳\W]+$|^[\dA-Z](?:[→>,\- ]+[\dA-Z])+$"
    r"|\bnot (?:mentioned|given|shown|among)\b",
    re.IGNORECASE,
)


def opened(corpus: Corpus) -> Corpus:
    """The corpus with each question in its open form; ids end in `/open`, so that a set may mix both forms.

    Left out, with the reason, are questions that speak of their options ("which of the following") and answers that
    speak of others ("none of the above"): without options nobody could answer them. Questions that are open by nature
    stay as they are.
    """
    kept: list[Question] = []
    skipped = list(corpus.skipped)
    for question in corpus.questions:
        if question.is_open:
            kept.append(question)
            continue
        reference = question.options[LETTERS.index(question.answer)]
        reason = ""
        if _OF_OPTIONS.search(question.question):
            reason = "the question speaks of its options"
        elif _OF_OTHERS.search(reference) or not reference.strip():
            reason = "the answer speaks of other options"
        if reason:
            skipped.append(SkippedRow(question.id, reason, reference))
            continue
        kept.append(
            replace(
                question,
                id=f"{question.id}/open",
                options=(),
                answer="",
                references=question.references or (reference.strip(),),
            )
        )
    return replace(corpus, questions=kept, skipped=skipped, trees=_of_videos(corpus, kept))


def _of_videos(corpus: Corpus, kept: Iterable[Question]) -> Iterable:
    """The trees of those videos that still have a question."""
    trees = corpus.trees
    if not isinstance(trees, LazyTrees):
        return trees
    asked = {question.video_id for question in kept}
    return LazyTrees([video for video in trees.video_ids if video in asked], trees.compose)
