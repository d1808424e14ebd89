"""Temporal overlap, the way each benchmark measures it."""

from collections.abc import Sequence

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
