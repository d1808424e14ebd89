"""Results side by side: every figure of a table, made from result files alone."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from math import fsum

import numpy as np

from evaluation.bootstrap import Estimate, estimates, micro, paired_difference
from evaluation.metrics import pass_at
from evaluation.result import Result, Row, unequal_terms
from evaluation.scorers import Scores, decided, right, score
from evaluation.style import in_order
from navigation import InputError

CLOSED_BOOK = "closed_book"
COSTS = {
    "visits": "visits",
    "captions": "captions needed",
    "frames": "frames looked at",
    "seconds_seen": "seconds seen",
    "tokens_read": "tokens read",
    "model_calls": "model calls",
    "usd_computed": "USD, computed",
    "seconds_computed": "seconds, computed",
}
"""Costs of a question in tables, by the meter's names."""


@dataclass(frozen=True, slots=True)
class Difference:
    """`second - first` in a metric on the same questions, with its interval and two-sided p."""

    metric: str
    value: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class Entry:
    """One result in a comparison."""

    name: str
    result: Result
    scores: Scores
    accuracy: Estimate
    costs: dict[str, Estimate]
    made: Estimate
    """Captions that had to be made, a question: made on demand and shared by a video's questions."""
    above_closed_book: Difference | None
    against_first: tuple[Difference, ...]
    pass_at: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """Results on the same questions. `notes` name parts of the cards that differ from the first's."""

    benchmark: str
    questions: int
    videos: int
    chance: float
    entries: tuple[Entry, ...]
    notes: tuple[str, ...]


def compare(results: Sequence[Result], seed: int = 0, other_judges: bool = False) -> list[Comparison]:
    """One comparison for each benchmark and set of questions, in the order given.

    The first result of each is what the others are held against.

    Args:
        other_judges: Whether results under several judges may stand side by side; a note then says so.

    Raises:
        InputError: two results of one benchmark that were played on other questions, or judged by others.
    """
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(result.benchmark, []).append(result)
    return [_compared(benchmark, group, seed, other_judges) for benchmark, group in groups.items()]


def _compared(benchmark: str, results: list[Result], seed: int, other_judges: bool) -> Comparison:
    first = results[0]
    others: dict[tuple[str, ...], list[str]] = {}  # by what differs: names
    for result in results[1:]:
        if {row.question_id for row in result.rows} != {row.question_id for row in first.rows}:
            found = f"{len(result.rows)} rows, {first.source} has {len(first.rows)}"
            hint = "compare results on the same questions: the same benchmark, limit and held-out share"
            raise InputError(result.source, "questions", found, hint)
        if not other_judges and result.card.get("judge") != first.card.get("judge"):
            found = f"{_judge_of(result)}, {first.source} was judged by {_judge_of(first)}"
            hint = "evaluate again under one judge, or use --other-judges to put them side by side all the same"
            raise InputError(result.source, "judge", found, hint)
        if unequal := unequal_terms(first.card, result.card):
            others.setdefault(tuple(unequal), []).append(result.name)
    notes = tuple(
        f"{', '.join(names)} {'was' if len(names) == 1 else 'were'} not played on the terms of {first.name}: "
        f"{', '.join(unequal)} differ"
        for unequal, names in others.items()
    )
    named = _named(results)
    closed = named.get(CLOSED_BOOK)
    head = next(iter(named))
    ordered = [head, *in_order(name for name in named if name != head)]
    entries = tuple(_entry(name, named[name], first, closed, seed) for name in ordered)
    chance = fsum(1 / row.options for row in first.rows if row.options) / len(first.rows)
    videos = len({row.video_id for row in first.rows})
    questions = len({row.question_id for row in first.rows})
    return Comparison(benchmark, questions, videos, chance, entries, notes)


def _judge_of(result: Result) -> str:
    """A judge in words; the first signs of its prompt's hash tell two prompts of one model apart."""
    judge = result.card.get("judge") or {}
    prompt = f", prompt {judge['prompt_sha256'][:8]}" if "prompt_sha256" in judge else ""
    votes = f", {judge['votes']} votes" if "votes" in judge else ""
    return f"{judge.get('model') or judge.get('judge') or 'none'}{prompt}{votes}"


def _named(results: Sequence[Result]) -> dict[str, Result]:
    """Results by name; one whose name is taken gets its folder's name behind it."""
    named: dict[str, Result] = {}
    for result in results:
        name = result.name
        if name in named:
            name = f"{name} ({result.source.parent.name})"
        place = 2
        while name in named:
            name = f"{result.name} ({place})"
            place += 1
        named[name] = result
    return named


def _entry(name: str, result: Result, first: Result, closed: Result | None, seed: int) -> Entry:
    rows = result.rows
    metrics = [micro("accuracy", rows, right, decided)]
    metrics += [micro(cost, rows, partial(cost_of, cost=cost)) for cost in COSTS]
    found = estimates(rows, metrics, seed)
    accuracy = found.pop("accuracy")
    made = result.build["on_demand"]["captions"] / len({row.question_id for row in rows})
    differences: tuple[Difference, ...] = ()
    if result is not first:
        differences = (_difference("accuracy", first, result, seed), _difference("visits", first, result, seed))
    above = None
    if closed is not None and result is not closed:
        above = _difference("accuracy", closed, result, seed)
    groups = [row.question_id for row in rows]
    known = [(row.question_id, row.correct) for row in rows if row.decided]
    several = len(rows) > len(set(groups))
    return Entry(
        name,
        result,
        score(result.benchmark, rows, seed),
        accuracy,
        costs=found,
        made=Estimate(made, None, None, len(rows)),
        above_closed_book=above,
        against_first=differences,
        pass_at=pass_at(*zip(*known, strict=True)) if several and known else {},
    )


def cost_of(row: Row, cost: str) -> float:
    """One of `COSTS` of an episode."""
    return float(row.visits if cost == "visits" else row.meter[cost])


def _difference(metric: str, first: Result, second: Result, seed: int) -> Difference:
    def means(result: Result) -> dict[str, float]:
        values: dict[str, list[float]] = {}
        for row in result.rows:
            if metric == "accuracy" and not row.decided:
                continue
            values.setdefault(row.question_id, []).append(right(row) if metric == "accuracy" else cost_of(row, metric))
        return {question: fsum(of) / len(of) for question, of in values.items()}

    ours, theirs = means(first), means(second)
    order = sorted(ours.keys() & theirs.keys())
    before, after = (np.array([values[question] for question in order]) for values in (ours, theirs))
    return Difference(metric, *(float(f"{value:.10g}") for value in paired_difference(before, after, seed)))


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Places of the points that no other is better than: dearer ones must be more accurate. By rising cost."""
    kept: list[int] = []
    for place in sorted(range(len(points)), key=lambda place: (points[place][0], -points[place][1])):
        if not kept or points[place][1] > points[kept[-1]][1]:
            kept.append(place)
    return kept


def lengths(comparison: Comparison, least: int = 20) -> list[tuple[str, float, float]]:
    """Classes of video length that hold at least `least` questions: label, above, at most (seconds)."""
    edges = (0.0, 30.0, 60.0, 180.0, 600.0, 1200.0, 2400.0, 3600.0, 7200.0, float("inf"))
    labels = ("to 30 s", "30-60 s", "1-3 min", "3-10 min", "10-20 min", "20-40 min", "40-60 min", "1-2 h", "over 2 h")
    rows = comparison.entries[0].result.rows
    found = []
    for label, low, high in zip(labels, edges[:-1], edges[1:], strict=True):
        if sum(low < row.duration <= high for row in rows) >= least:
            found.append((label, low, high))
    return found
