"""The lexical answerer that rule policies share: picks the option that best fits what was read.

It stands where a language model would stand, equally for every rule, so that rules differ by what they open and by
nothing else. An option scores by the share of its words found in one statement, weighted by how well that statement
fits the question: by its own words, or, where the question asks what comes after or before something, by being next to
the statement that fits that something. Options that are time spans are compared with the span of the best-fitting
statement. Equal scores are settled by a seeded choice.
"""

import hashlib
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.meter import cite
from evaluation.policies.notes import (
    SENTENCE_END,
    Note,
    Statement,
    WordWeights,
    notes_read,
    statements_by_level,
    words_of,
)
from navigation import LETTERS, Reply, Task, assistant_message
from navigation.grid import clock, format_path
from navigation.times import find_spans


def generator(*parts: object) -> random.Random:
    """A random generator seeded by the texts of `parts` (SHA-256; Python's own `hash` differs from run to run)."""
    text = "\x00".join(map(str, parts))
    return random.Random(int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest(), "big"))


_LONGEST_SPAN = 100
"""Characters of an option that is a time and little else."""
_DIRECTIONS = (
    (re.compile(r"\b(?:after|follows?|following|next|then)\b", re.IGNORECASE), 1),
    (re.compile(r"\b(?:before|precedes?|preceding|prior|previous)\b", re.IGNORECASE), -1),
)
_BACKGROUND = 0.1
"""Weight of a statement that does not fit the question: an option found anywhere beats one found nowhere."""
_NEIGHBOUR = 0.5
"""What is left of a statement's fit one statement further on."""
_ANCHOR = 0.8
"""From which fit on, the best being 1, a statement may be what a question of order names."""
_NAMED = 0.85
"""Fit of a statement at a time that the question names; more than `_ANCHOR`."""
_COARSER = 0.5
"""What a statement one level coarser is worth."""


@dataclass(frozen=True, slots=True)
class Finding:
    """How well an option fits what was read, and the seconds of the statement that it fits best."""

    score: float = 0.0
    start: float = 0.0
    end: float = 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """An answer with its reasons.

    `confidence` in [0, 1] is how far the option stands out from the second best; `spans` is where it was found;
    `unread` is a judge's citation that holds no span, kept so that it is counted.
    """

    letter: str
    confidence: float
    reasoning: str
    spans: tuple[tuple[float, float], ...] = ()
    unread: str = ""

    def message(self) -> dict[str, Any]:
        """The last turn: reasoning, cited evidence, answer."""
        return assistant_message(self.reasoning, f"{cite(self.spans) or self.unread}<answer>{self.letter}</answer>")


def answer(task: Task, messages: Sequence[dict[str, Any]], seed: int) -> Reply:
    """The final turn: the option that best fits the captions in `messages`."""
    return answer_from(task, notes_read(task, messages), seed)


def answer_from(task: Task, notes: Sequence[Note], seed: int) -> Reply:
    """The final turn from the given notes; without notes, a seeded guess."""
    return Reply(judge(task, notes, seed).message())


def judge(task: Task, notes: Sequence[Note], seed: int) -> Verdict:
    """The option that best fits the notes; without notes, a seeded guess. Without options, see `tell`."""
    if not task.question.options:
        return tell(task, notes)
    found = find_options(task.question.question, task.question.options, notes, task.grid.duration)
    best, *others = sorted((finding.score for finding in found), reverse=True)
    tied = [letter for letter, finding in zip(LETTERS, found, strict=False) if best - finding.score <= 1e-9]
    letter = generator(seed, "reader", task.question.id, task.sample).choice(tied)
    if best <= 0:
        return Verdict(letter, 0.0, "Nothing that I read fits any option, so I guess.")
    shown = ", ".join(f"{name} {finding.score:.2f}" for name, finding in zip(LETTERS, found, strict=False))
    last = f" Last read: {format_path(notes[-1].path)}." if notes else ""
    chosen = found[LETTERS.index(letter)]
    confidence = min(1.0, best) * (1 - max(others, default=0.0) / best)
    spans = ((chosen.start, chosen.end),)
    return Verdict(letter, confidence, f"How well each option fits what I read: {shown}.{last}", spans)


UNKNOWN = "I do not know"


def tell(task: Task, notes: Sequence[Note]) -> Verdict:
    """An answer in words: the statement that the question asks for, or its span where the question begins with when.

    Of the finest level read, the statement that fits the question, or the one next to what it names.
    """
    levels = statements_by_level(notes)
    if not levels:
        return Verdict(UNKNOWN, 0.0, "I read nothing.")
    question = task.question.question
    named, direction = anchor_of(question)
    weights = WordWeights([statement for statements in levels.values() for statement in statements])
    finest = max(levels)
    fit = _fits(words_of(named), words_of(question), levels, weights)[finest]
    statements, relevance = levels[finest], _relevance(levels[finest], fit, direction)
    best = max(range(len(statements)), key=lambda place: (relevance[place], -place))
    if relevance[best] <= _BACKGROUND:
        return Verdict(UNKNOWN, 0.0, "Nothing that I read fits the question.")
    chosen = statements[best]
    texts = (part for note in notes for part in SENTENCE_END.split(note.text) if words_of(part) == chosen.words)
    text = next(texts, "").strip(" .;")
    if question.lower().startswith("when"):
        text = f"{clock(chosen.start)}-{clock(chosen.end)}"
    confidence = min(1.0, relevance[best]) / 2
    return Verdict(text, confidence, f"It fits the question best: “{text}”.", ((chosen.start, chosen.end),))


def score_options(question: str, options: Sequence[str], notes: Sequence[Note], duration: float) -> list[float]:
    """One score per option in [0, 1.1]; all zero where nothing read fits. Arguments as for `find_options`."""
    return [finding.score for finding in find_options(question, options, notes, duration)]


def find_options(question: str, options: Sequence[str], notes: Sequence[Note], duration: float) -> list[Finding]:
    """What was found of each option.

    Args:
        question: The question's text.
        options: The options' texts.
        notes: What was read.
        duration: The video's length in seconds.
    """
    levels = statements_by_level(notes)
    named, question = find_spans(question)
    spans = [time_span(option) for option in options]
    option_words = [words_of(option) for option in options]
    anchor_text, direction = anchor_of(question)
    weights = WordWeights([statement for statements in levels.values() for statement in statements])
    fits = _fits(words_of(anchor_text), words_of(question), levels, weights)
    if named:
        fits = {level: _at(named, statements, fits[level]) for level, statements in levels.items()}
    findings = [Finding() for _ in options]
    for level, statements in levels.items():
        fit = fits[level]
        scale = _COARSER ** (max(levels) - level)
        if all(span is not None for span in spans):
            found = [Finding(_span_score(span, statements, fit, duration), *span) for span in spans if span is not None]
        else:
            relevance = _relevance(statements, fit, direction)
            found = [_best_statement(words, statements, relevance, weights) for words in option_words]
        findings = [
            Finding(scale * new.score, new.start, new.end) if scale * new.score > old.score else old
            for old, new in zip(findings, found, strict=True)
        ]
    return findings


def _best_statement(
    words: frozenset[str], statements: Sequence[Statement], relevance: Sequence[float], weights: WordWeights
) -> Finding:
    best = Finding()
    for statement, weight in zip(statements, relevance, strict=True):
        if weight > best.score and (score := weights.share(words, statement.words) * weight) > best.score:
            best = Finding(score, statement.start, statement.end)
    return best


def time_span(text: str) -> tuple[float, float] | None:
    """`2:10-2:40`, `0:02:10 to 0:02:40` or `<TIME 00:02:10.500 video 1>` as seconds, if the text is little else."""
    spans, rest = find_spans(text) if len(text) <= _LONGEST_SPAN else ([], text)
    return spans[0] if len(spans) == 1 and not any(letter.isdigit() for letter in rest) else None


def anchor_of(question: str) -> tuple[str, int]:
    """What the question asks about, and where from there to look: 1 after it, -1 before it, 0 at it."""
    found = [(match, direction) for pattern, direction in _DIRECTIONS if (match := pattern.search(question))]
    if len(found) != 1:
        return question, 0
    match, direction = found[0]
    named = question[match.end() :]
    return (named if words_of(named) else question[: match.start()]), direction


def _fits(
    named: frozenset[str], question: frozenset[str], levels: Mapping[int, Sequence[Statement]], weights: WordWeights
) -> dict[int, list[float]]:
    """How well each statement fits what is named, given the rest of the question. The best of all levels is 1."""
    shares = {
        level: [weights.share(named, each.words) * (1 + weights.share(question, each.words)) for each in statements]
        for level, statements in levels.items()
    }
    best = max((share for row in shares.values() for share in row), default=0.0)
    return {level: [share / best for share in row] if best > 0 else row for level, row in shares.items()}


def _at(spans: Sequence[tuple[float, float]], statements: Sequence[Statement], fit: Sequence[float]) -> list[float]:
    """Fits where the question names times: what lies there comes first, whatever its words."""
    there = [any(begin < each.end and end > each.start for begin, end in spans) for each in statements]
    return [
        _NAMED + (1 - _NAMED) * value if inside else _BACKGROUND * value
        for inside, value in zip(there, fit, strict=True)
    ]


def _relevance(statements: Sequence[Statement], fit: Sequence[float], direction: int) -> list[float]:
    """What finding an option in each statement is worth."""
    if direction == 0:
        padded = [0.0, *fit, 0.0]
        near = [_NEIGHBOUR * max(padded[index], padded[index + 2]) for index in range(len(fit))]
        return [_BACKGROUND + max(own, beside) for own, beside in zip(fit, near, strict=True)]
    relevance = [_BACKGROUND] * len(fit)
    for anchor, value in enumerate(fit):
        if value > _ANCHOR:
            index, worth = anchor, value
            # Across a gap that was not read nobody knows what comes next.
            while 0 <= index + direction < len(fit) and worth > 0.01 and _adjoin(statements, index, index + direction):
                index += direction
                relevance[index] = max(relevance[index], _BACKGROUND + worth)
                worth *= _NEIGHBOUR
    return relevance


def _adjoin(statements: Sequence[Statement], one: int, other: int) -> bool:
    earlier, later = sorted((one, other))
    return statements[later].start <= statements[earlier].end


def _span_score(
    span: tuple[float, float], statements: Sequence[Statement], fit: Sequence[float], duration: float
) -> float:
    """Temporal IoU with the best-fitting statement; where nothing overlaps, the nearer span is a little better."""
    best = 0.0
    for statement, weight in zip(statements, fit, strict=True):
        if weight > 0:
            union = max(span[1], statement.end) - min(span[0], statement.start)
            shared = min(span[1], statement.end) - max(span[0], statement.start)
            iou = max(0.0, shared) / union if union > 0 else 1.0
            apart = abs(span[0] + span[1] - statement.start - statement.end) / 2
            best = max(best, weight**2 * (iou + 0.01 * max(0.0, 1 - apart / duration)))
    return best
