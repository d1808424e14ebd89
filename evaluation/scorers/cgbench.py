"""CG-Bench (CG-Bench/CG-Bench, `run/utils.py`; arXiv 2412.12075)."""

from collections.abc import Sequence

from evaluation.meter import MOST
from evaluation.result import Row
from evaluation.scorers import right
from evaluation.scorers.metric import Metric, micro, union_iou

THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5)
RULE = (
    "long-acc.: accuracy. mIoU: IoU of the merged unions of cited (at most five) and clue intervals. rec.@IoU and "
    "acc.@IoU: share of questions whose IoU reaches the threshold, and those of them answered right, averaged over the "
    "thresholds 0.1 to 0.5. A question without a cited interval has IoU 0."
)


def metrics(rows: Sequence[Row]) -> list[Metric]:
    return [
        micro("long-acc.", rows, right),
        micro("mIoU", rows, iou),
        micro("rec.@IoU", rows, reached),
        micro("acc.@IoU", rows, lambda row: right(row) * reached(row)),
    ]


def iou(row: Row) -> float:
    return union_iou(row.evidence[:MOST], row.clues)


def reached(row: Row) -> float:
    """Share of the thresholds that the IoU reaches; one that equals it is reached."""
    return sum(iou(row) >= threshold for threshold in THRESHOLDS) / len(THRESHOLDS)
