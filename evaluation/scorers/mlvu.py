"""MLVU, dev and test (JUNJIE99/MLVU): the multiple-choice tasks."""

from collections.abc import Sequence

from evaluation.result import Row
from evaluation.scorers import by_label, right
from evaluation.scorers.metric import Metric, macro, micro

RULE = "M-Avg: accuracy of each task type, then the mean over task types, however many questions each has"


def metrics(rows: Sequence[Row]) -> list[Metric]:
    return [macro("M-Avg", rows, right, by_label(rows)), micro("accuracy", rows, right)]
