"""LVBench (THUDM/LVBench, `lvbench/metrics/compute_accuracy.py`)."""

from collections.abc import Sequence

from evaluation.result import Row
from evaluation.scorers import by_label, right
from evaluation.scorers.metric import Metric, macro, micro

RULE = (
    "micro accuracy over all questions; a question of several types counts under each of them. The released script "
    "leaves out questions that the answer file lacks; here every question counts."
)


def metrics(rows: Sequence[Row]) -> list[Metric]:
    return [micro("accuracy", rows, right), macro("mean over types", rows, right, by_label(rows))]
