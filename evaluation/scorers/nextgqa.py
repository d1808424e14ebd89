"""NExT-GQA (doc-doc/NExT-GQA, `code/TempGQA/eval_ground.py`)."""

from collections.abc import Sequence

from evaluation.result import Row
from evaluation.scorers import right
from evaluation.scorers.metric import Metric, best_overlap, micro

RULE = (
    "Acc@QA: accuracy. Acc@GQA: right, and at least half of the predicted span lies in a true segment. mIoP, mIoU: "
    "of the first cited span with the true segment that suits it best; @0.3 and @0.5: share of questions that reach "
    "it. The released script leaves out questions without a prediction; here they count as 0."
)


def metrics(rows: Sequence[Row]) -> list[Metric]:
    return [
        micro("Acc@QA", rows, right),
        micro("Acc@GQA", rows, lambda row: right(row) * (iop(row) >= 0.5)),
        micro("mIoP", rows, iop),
        micro("IoP@0.3", rows, lambda row: float(iop(row) >= 0.3)),
        micro("IoP@0.5", rows, lambda row: float(iop(row) >= 0.5)),
        micro("mIoU", rows, iou),
        micro("IoU@0.3", rows, lambda row: float(iou(row) >= 0.3)),
        micro("IoU@0.5", rows, lambda row: float(iou(row) >= 0.5)),
    ]


def iou(row: Row) -> float:
    return best_overlap(row.evidence[0] if row.evidence else None, row.clues)[0]


def iop(row: Row) -> float:
    return best_overlap(row.evidence[0] if row.evidence else None, row.clues)[1]
