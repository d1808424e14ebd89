"""The released LongVideo-R1 score, number for number, quirks included. For reproduction: it can be inflated.

Behaviour: LongVideo-R1 (arXiv 2602.20913), `longvideor1_score.py`, `compute_score_wtime_gt`.
"""

import ast
import re
from collections.abc import Iterator, Sequence
from typing import Any

from navigation import GET_CAPTION, Visit

REPEAT_WEIGHT = 0.2
LARGEST_GAP = 5.0
"""Clues at most this many seconds apart are taken for one."""
LONGEST_LITERAL = 20_000
"""Characters. A longer argument is passed over like one that is no literal."""

_CALL = re.compile(r"(\w+)\((.*)\)")


def official_score(
    completion: str, ground_truth: str, clue_intervals: Sequence[Sequence[float]] | None, width: int, duration: float
) -> dict[str, float]:
    """Score of a tagged completion: right answer + F1 of visited and clue time - 0.2 · repeats per distinct call.

    Every `<tool>get_caption(…)</tool>` in the text counts as a visit, executed or not. Overlapping visits count their
    clue time once each, so F1 passes 1. A call whose argument is a number or a list makes the whole grounding 0; one
    whose argument is no literal is passed over. The answer is the last `<answer>` and must equal the letter.

    Args:
        completion: What the model wrote, in the tagged format.
        ground_truth: The right letter.
        clue_intervals: `[begin, end]` pairs in seconds.
        width: Children per segment; the score knows three levels.
        duration: Video length in seconds.

    Returns:
        `score`, `answer_reward`, `f1_reward` and `repeat_reward` (repeats / distinct calls, before its weight).
    """
    answers = list(_between(completion, "<answer>", "</answer>"))
    answer_reward = 1.0 if answers and answers[-1].strip() == ground_truth else 0.0
    f1_reward = repeat_reward = 0.0
    try:
        segments = [argument for argument in _arguments(completion) if len(argument) < 4]
        if segments:
            distinct = len(set(segments))
            repeat_reward = (len(segments) - distinct) / distinct
            f1_reward = _f1([_range(segment, duration, width) for segment in segments], _joined(clue_intervals or []))
    except (TypeError, ValueError, ArithmeticError, LookupError):
        # The released function stops here too, and keeps what it had computed so far.
        pass
    score = answer_reward + f1_reward - REPEAT_WEIGHT * repeat_reward
    return {
        "score": score,
        "answer_reward": answer_reward,
        "f1_reward": f1_reward,
        "repeat_reward": repeat_reward,
    }


def tagged(visits: Sequence[Visit], prediction: str | None) -> str:
    """The executed calls of an episode and its answer in the released tagged format."""
    calls = (f"<tool>{visit.tool}({visit.path})</tool>" for visit in visits)
    return "".join(calls) + ("" if prediction is None else f"<answer>{prediction}</answer>")


def official_grounding(
    completion: str, clue_intervals: Sequence[Sequence[float]], width: int, duration: float
) -> float:
    """What the released score adds to the answer: F1 - 0.2 · repeats. Not bounded by 1."""
    result = official_score(completion, "", clue_intervals, width, duration)
    return result["f1_reward"] - REPEAT_WEIGHT * result["repeat_reward"]


def _between(text: str, opening: str, closing: str) -> Iterator[str]:
    """Texts between tags, each opening tag up to the next closing one. Linear, whatever the text."""
    at = text.find(opening)
    while at >= 0:
        begin = at + len(opening)
        end = text.find(closing, begin)
        if end < 0:
            return
        yield text[begin:end]
        at = text.find(opening, end + len(closing))


def _arguments(completion: str) -> Iterator[Any]:
    """Values that the written `get_caption` calls pass, where they are literals."""
    for call in _between(completion, "<tool>", "</tool>"):
        match = _CALL.match(call.strip())
        if match is None or match.group(1) != GET_CAPTION:
            continue
        argument = match.group(2).strip()
        if len(argument) > LONGEST_LITERAL:
            continue
        try:
            # Parses, never evaluates. Whatever it raises says that the text is no literal.
            value = ast.literal_eval(argument) if argument else ()
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError, OverflowError):
            continue
        yield value


def _range(segment: Any, duration: float, width: int) -> tuple[float, float]:
    """Begin and end in seconds; numbers outside 1 to width are taken as they are."""
    lengths = [duration / width, duration / width**2, duration / width**3]
    if not segment:
        return 0.0, 0.0
    begin = sum((child - 1) * length for child, length in zip(segment, lengths, strict=False))
    return begin, min(duration, begin + lengths[len(segment) - 1])


def _joined(intervals: Sequence[Sequence[float]]) -> list[tuple[float, float]]:
    """Clues with small gaps filled. Only the clue just before is looked at, so one inside another may split it."""
    if len(intervals) == 1:
        return [(intervals[0][0], intervals[0][1])]
    joined: list[tuple[float, float]] = []
    before = None
    for begin, end in sorted(intervals, key=lambda pair: pair[0]):
        if before is not None and begin - before <= LARGEST_GAP:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((begin, end))
        before = end
    return joined


def _f1(visited: list[tuple[float, float]], clues: list[tuple[float, float]]) -> float:
    both = sum(max(0.0, min(stop, end) - max(start, begin)) for start, stop in visited for begin, end in clues)
    clue_seconds = sum(max(0.0, end - begin) for begin, end in clues)
    visited_seconds = 0.0
    reached: float | None = None
    start = 0.0
    for begin, end in sorted(visited, key=lambda pair: pair[0]):
        if reached is not None and begin <= reached:
            reached = max(reached, end)
            continue
        if reached is not None:
            visited_seconds += max(0.0, reached - start)
        start, reached = begin, end
    if reached is not None:
        visited_seconds += max(0.0, reached - start)
    recall = both / clue_seconds if clue_seconds > 0 else 0.0
    precision = both / visited_seconds if visited_seconds > 0 else 0.0
    return 2 * recall * precision / (recall + precision) if recall + precision > 0 else 0.0
