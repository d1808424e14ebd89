"""Figures over questions and their confidence intervals: the percentile bootstrap, resampled by question."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.result import Row

RESAMPLES = 2000
LEVEL = 0.95
_CELLS = 4_000_000
"""Weights held at a time: 32 MB."""

METHOD = f"percentile bootstrap, {RESAMPLES} resamples of questions"


def ratio_intervals(
    sums: np.ndarray, counts: np.ndarray, seed: int = 0, resamples: int = RESAMPLES, level: float = LEVEL
) -> np.ndarray:
    """Intervals for `sums.sum(0) / counts.sum(0)`, column by column.

    Questions are drawn with replacement and bring all their samples along, because samples of one question are not
    independent. Every column sees the same draws. Source: Efron and Tibshirani, An Introduction to the Bootstrap,
    section 13.3.

    Args:
        sums: `(questions, metrics)`: a metric summed over a question's samples.
        counts: `(questions, metrics)`: how many samples had a value.
        seed: Of the draws.
        resamples: How many draws.
        level: How much of the draws lies inside the interval.

    Returns:
        `(metrics, 2)`: low and high; NaN where no sample had a value.
    """
    sums, counts = np.asarray(sums, float), np.asarray(counts, float)
    questions, metrics = sums.shape
    if not questions:
        return np.full((metrics, 2), np.nan)
    totals = drawn_totals(np.concatenate([sums, counts], axis=1), seed, resamples)
    with np.errstate(invalid="ignore", divide="ignore"):
        return bounds(totals[:, :metrics] / totals[:, metrics:], level)


def interval_with_votes(
    shares: np.ndarray, groups: Sequence[str], seed: int = 0, resamples: int = RESAMPLES, level: float = LEVEL
) -> tuple[float, float]:
    """Interval of a mean over answers that were judged by votes: questions are drawn, and a vote for each answer.

    Args:
        shares: `(answers,)`: share of an answer's votes that call it right.
        groups: The question of each answer.
    """
    row = {group: place for place, group in enumerate(dict.fromkeys(groups))}
    of_answer = np.array([row[group] for group in groups])
    counts = np.bincount(of_answer, minlength=len(row)).astype(float)
    draw, means = np.random.default_rng(seed), []
    for begin in range(0, resamples, step := max(1, _CELLS // len(shares))):
        size = min(step, resamples - begin)
        votes = (draw.random((size, len(shares))) < shares).astype(float)  # (resamples, answers)
        weights = draw.multinomial(len(row), np.full(len(row), 1 / len(row)), size)  # (resamples, questions)
        means.append((weights[:, of_answer] * votes).sum(1) / (weights @ counts))
    low, high = np.quantile(np.concatenate(means), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def drawn_totals(columns: np.ndarray, seed: int = 0, resamples: int = RESAMPLES) -> np.ndarray:
    """Column sums over questions drawn with replacement: `(questions, columns)` to `(resamples, columns)`.

    One seed and one number of questions give the same draws whatever the columns are, so that what is estimated in
    several calls stays paired.
    """
    questions = len(columns)
    draw = np.random.default_rng(seed)
    chance = np.full(questions, 1 / questions)
    drawn = []
    for begin in range(0, resamples, step := max(1, _CELLS // questions)):
        # How often each question is drawn, instead of which: the resampled sums are then one matrix product.
        drawn.append(draw.multinomial(questions, chance, min(step, resamples - begin)) @ columns)
    return np.concatenate(drawn)


def bounds(estimates: np.ndarray, level: float = LEVEL) -> np.ndarray:
    """`(metrics, 2)`: the quantiles of each column of `(resamples, metrics)`; NaN where no draw had a value."""
    found = np.full((estimates.shape[1], 2), np.nan)
    tail = (1 - level) / 2
    for metric in range(estimates.shape[1]):
        valid = estimates[np.isfinite(estimates[:, metric]), metric]
        if len(valid):
            found[metric] = np.quantile(valid, [tail, 1 - tail])
    return found


def paired_difference(
    first: np.ndarray, second: np.ndarray, seed: int = 0, resamples: int = RESAMPLES, level: float = LEVEL
) -> tuple[float, float, float, float]:
    """Mean of `second - first` over the same questions: `(difference, low, high, p)`.

    Each draw takes the same questions from both, so that how hard a question is cancels out. `p` is twice the smaller
    share of draws at or beyond 0, at most 1 and at least 1 / resamples: a two-sided bootstrap test of no difference.

    Args:
        first: `(questions,)`: a metric's mean over a question's samples.
        second: The same questions in the same order.
    """
    difference = np.asarray(second, float) - np.asarray(first, float)
    means = drawn_totals(difference[:, None], seed, resamples)[:, 0] / len(difference)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    beyond = min(float((means <= 0).mean()), float((means >= 0).mean()))
    return float(difference.mean()), float(low), float(high), min(1.0, max(1 / resamples, 2 * beyond))


@dataclass(frozen=True)
class Metric:
    """A figure as sums: the mean over groups of a sum divided by a sum.

    `groups` are `(above, below)`: two numbers for each row. Micro accuracy has one group; a mean over task types has
    one for each; accuracy among answered questions counts the answered ones below the line. Written this way every
    official figure gets its interval from the same draws.
    """

    name: str
    groups: Sequence[tuple[Sequence[float], Sequence[float]]]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its interval; None where nothing was there to count. `n` is the sum below the line."""

    value: float | None
    low: float | None
    high: float | None
    n: int


def estimates(rows: Sequence[Row], metrics: Sequence[Metric], seed: int = 0) -> dict[str, Estimate]:
    """Value and interval of every metric, by resampling questions with all their samples."""
    places = {question: place for place, question in enumerate(dict.fromkeys(row.question_id for row in rows))}
    of_row = [places[row.question_id] for row in rows]
    pairs = [pair for metric in metrics for group in metric.groups for pair in group]
    columns = np.zeros((len(places), len(pairs)))
    np.add.at(columns, of_row, np.array(pairs, float).T.reshape(len(rows), len(pairs)))
    draws = drawn_totals(columns, seed)
    found: dict[str, Estimate] = {}
    at = 0
    for metric in metrics:
        chosen = slice(at, at + 2 * len(metric.groups))
        at += 2 * len(metric.groups)
        value = _mean_ratio(columns[:, chosen].sum(0, keepdims=True))
        low, high = bounds(_mean_ratio(draws[:, chosen])[:, None])[0]
        n = round(float(columns[:, chosen][:, 1::2].sum()))
        found[metric.name] = Estimate(_number(value[0]), _number(low), _number(high), n)
    return found


def micro(
    name: str, rows: Sequence[Row], value: Callable[[Row], float], among: Callable[[Row], bool] | None = None
) -> Metric:
    """Mean of `value` over the rows that are `among`."""
    below = [float(among is None or among(row)) for row in rows]
    return Metric(name, [([value(row) * share for row, share in zip(rows, below, strict=True)], below)])


def macro(
    name: str, rows: Sequence[Row], value: Callable[[Row], float], groups: Mapping[str, Callable[[Row], bool]]
) -> Metric:
    """Mean over groups of the mean of `value` in each; groups without rows are left out."""
    kept = [belongs for _, belongs in sorted(groups.items()) if any(map(belongs, rows))]
    return Metric(name, [micro(name, rows, value, belongs).groups[0] for belongs in kept])


def _mean_ratio(totals: np.ndarray) -> np.ndarray:
    """Mean over groups of above / below, from columns `above, below, …`; what was not drawn is left out."""
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = totals[:, 0::2] / totals[:, 1::2]
    known = np.isfinite(ratios)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(known, ratios, 0.0).sum(1) / known.sum(1)


def _number(value: float) -> float | None:
    return float(f"{value:.10g}") if np.isfinite(value) else None
