"""The lexical answerer that rule policies share: picks the option that best fits what was read.

It stands where a language model would stand, equally for every rule, so that rules differ by what they open and by
nothing else. An option scores by the share of its words found in one statement, weighted by how well that statement
fits the question: by its own words, or, where the question asks what comes after or before something, by being next to
the statement that fits that something. Options that are time spans are compared with the span of the best-fitting
statement. Equal scores are settled by a seeded choice.
"""

import re
from collections.abc import Sequence
from typing import Any

from evaluation.policies.notes import Note, notes_read
from evaluation.policies.seeded import generator
from evaluation.policies.statements import Statement, WordWeights, statements_by_level, words_of
from navigation import LETTERS, Reply, Task, answer_message
from navigation.grid import format_path

_CLOCK = r"(?:(\d+):)?(\d{1,3}):(\d{2})(?:\.\d+)?"
_SPAN = re.compile(rf"\D*?{_CLOCK}\s*(?:-|–|—|to|until)\s*{_CLOCK}\D*")
_DIRECTIONS = (
    (re.compile(r"\b(?:after|follows?|following|next|then)\b", re.IGNORECASE), 1),
    (re.compile(r"\b(?:before|precedes?|preceding|prior|previous)\b", re.IGNORECASE), -1),
)
_BACKGROUND = 0.1
"""Weight of a statement that does not fit the question: an option found anywhere beats one found nowhere."""
_NEIGHBOUR = 0.5
"""What is left of a statement's fit one statement further on."""
_COARSER = 0.5
"""What a statement one level coarser is worth."""


def answer(task: Task, messages: Sequence[dict[str, Any]], seed: int) -> Reply:
    """The final turn: the option that best fits the captions in `messages`."""
    return answer_from(task, notes_read(task, messages), seed)


def answer_from(task: Task, notes: Sequence[Note], seed: int) -> Reply:
    """The final turn from the given notes; without notes, a seeded guess."""
    scores = score_options(task.question.question, task.question.options, notes, task.grid.duration)
    best = max(scores)
    tied = [letter for letter, score in zip(LETTERS, scores, strict=False) if best - score <= 1e-9]
    letter = generator(seed, "reader", task.question.id, task.sample).choice(tied)
    if best <= 0:
        reasoning = "Nothing that I read fits any option, so I guess."
    else:
        shown = ", ".join(f"{name} {score:.2f}" for name, score in zip(LETTERS, scores, strict=False))
        last = f" Last read: {format_path(notes[-1].path)}." if notes else ""
        reasoning = f"How well each option fits what I read: {shown}.{last}"
    return Reply(answer_message(reasoning, letter))


def score_options(question: str, options: Sequence[str], notes: Sequence[Note], duration: float) -> list[float]:
    """One score per option in [0, 1.1]; all zero where nothing read fits.

    Args:
        question: The question's text.
        options: The options' texts.
        notes: What was read.
        duration: The video's length in seconds.
    """
    levels = statements_by_level(notes)
    spans = [time_span(option) for option in options]
    option_words = [words_of(option) for option in options]
    anchor_text, direction = anchor_of(question)
    scores = [0.0] * len(options)
    for level, statements in levels.items():
        weights = WordWeights(statements)
        fit = _fit(words_of(anchor_text), words_of(question), statements, weights)
        scale = _COARSER ** (max(levels) - level)
        if all(span is not None for span in spans):
            found = [_span_score(span, statements, fit, duration) for span in spans if span is not None]
        else:
            relevance = _relevance(fit, direction)
            weighted = list(zip(statements, relevance, strict=True))
            found = [
                max(weights.share(words, each.words) * weight for each, weight in weighted) for words in option_words
            ]
        scores = [max(old, scale * new) for old, new in zip(scores, found, strict=True)]
    return scores


def time_span(text: str) -> tuple[float, float] | None:
    """`2:10-2:40` or `0:02:10 to 0:02:40` as seconds, if the text is one span and little else."""
    match = _SPAN.fullmatch(text.strip()) if len(text) <= 60 else None
    if match is None:
        return None
    numbers = [int(group or 0) for group in match.groups()]
    begin, end = (3600 * hours + 60 * minutes + seconds for hours, minutes, seconds in (numbers[:3], numbers[3:]))
    return (float(begin), float(end)) if begin <= end else None


def anchor_of(question: str) -> tuple[str, int]:
    """What the question asks about, and where from there to look: 1 after it, -1 before it, 0 at it."""
    found = [(match, direction) for pattern, direction in _DIRECTIONS if (match := pattern.search(question))]
    if len(found) != 1:
        return question, 0
    match, direction = found[0]
    named = question[match.end() :]
    return (named if words_of(named) else question[: match.start()]), direction


def _fit(
    named: frozenset[str], question: frozenset[str], statements: Sequence[Statement], weights: WordWeights
) -> list[float]:
    """How well each statement fits what is named, given the rest of the question; the best is 1, unless none fits."""
    shares = [
        weights.share(named, statement.words) * (1 + weights.share(question, statement.words))
        for statement in statements
    ]
    best = max(shares)
    return [share / best for share in shares] if best > 0 else shares


def _relevance(fit: Sequence[float], direction: int) -> list[float]:
    if direction == 0:
        padded = [0.0, *fit, 0.0]
        near = [_NEIGHBOUR * max(padded[index], padded[index + 2]) for index in range(len(fit))]
        return [_BACKGROUND + max(own, beside) for own, beside in zip(fit, near, strict=True)]
    relevance = [_BACKGROUND] * len(fit)
    for anchor, value in enumerate(fit):
        if value > 0.999:
            for step in range(1, 9):
                index = anchor + direction * step
                if 0 <= index < len(fit):
                    relevance[index] = max(relevance[index], _BACKGROUND + _NEIGHBOUR ** (step - 1))
    return relevance


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
