"""A benchmark's figure as sums: the mean over groups of a sum divided by a sum.

Micro accuracy has one group; a mean over task types has one for each; accuracy among answered questions counts the
answered ones below the line. Written this way every official figure gets its interval from the same draws.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.bootstrap import bounds, drawn_totals
from evaluation.result import Row


@dataclass(frozen=True)
class Metric:
    """`groups` are `(above, below)`: two numbers for each row."""

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


def micro(name: str, rows: Sequence[Row], value: Callable[[Row], float], among: Callable[[Row], bool] | None = None):
    """Mean of `value` over the rows that are `among`."""
    below = [float(among is None or among(row)) for row in rows]
    return Metric(name, [([value(row) * share for row, share in zip(rows, below, strict=True)], below)])


def macro(name: str, rows: Sequence[Row], value: Callable[[Row], float], groups: Mapping[str, Callable[[Row], bool]]):
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


Span = tuple[float, float]


def union_iou(predicted: Sequence[Span], true: Sequence[Span]) -> float:
    """Intersection over union of two unions of intervals; overlaps within either count once. 0 if neither has length.

    CG-Bench, `run/utils.py`, `calculate_intervals_iou`.
    """
    first, second = _merged(predicted), _merged(true)
    shared = sum(max(0.0, min(a[1], b[1]) - max(a[0], b[0])) for a in first for b in second)
    union = _length(first) + _length(second) - shared
    return shared / union if union > 0 else 0.0


def best_overlap(predicted: Span | None, true: Sequence[Span]) -> tuple[float, float]:
    """IoU and IoP of one span with the true segment that suits it best, each with its own; 0 without a span.

    IoP is the share of the prediction inside the segment. A prediction of no length has IoU 0, and IoP 1 where it lies
    in a segment. NExT-GQA, `eval_ground.py`, `get_tIoU`.
    """
    best_iou = best_iop = 0.0
    if predicted is not None:
        begin, end = predicted
        for start, stop in true:
            if begin == end:
                best_iop = max(best_iop, float(start <= begin <= stop))
            else:
                shared = min(stop, end) - max(start, begin)
                best_iou = max(best_iou, shared / (max(stop, end) - min(start, begin)))
                best_iop = max(best_iop, shared / (end - begin))
    return best_iou, best_iop


def _merged(spans: Sequence[Span]) -> list[Span]:
    merged: list[Span] = []
    for begin, end in sorted(spans):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((begin, end))
    return merged


def _length(spans: Sequence[Span]) -> float:
    return sum(end - begin for begin, end in spans)
