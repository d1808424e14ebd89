"""Official scoring of each benchmark, with the rule it was read from."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module

from evaluation.result import Row
from evaluation.scorers.metric import Estimate, Metric, estimates, macro, micro
from navigation import Status

SCORED = ("lvbench", "videomme", "mlvu", "cgbench", "nextgqa")
"""Benchmarks with a rule of their own; all others get accuracy, micro and macro."""


@dataclass(frozen=True)
class Scores:
    """A benchmark's official figures and counts.

    `metrics` come first to last as the benchmark lists them; `categories` are accuracies by label. A question that was
    not answered is wrong, and `answered`, `unparsable` and `other` say how many there were of `n`.
    """

    rule: str
    metrics: dict[str, Estimate]
    categories: dict[str, Estimate]
    n: int
    answered: int
    unparsable: int
    other: int


def score(benchmark: str, rows: Sequence[Row], seed: int = 0) -> Scores:
    """Scores rows by the benchmark's own published rule."""
    rule, metrics = "accuracy over all questions; macro: mean over categories", [
        micro("accuracy", rows, right),
        macro("macro", rows, right, by_label(rows)),
    ]  # fmt: skip
    if benchmark in SCORED:
        module = import_module(f"evaluation.scorers.{benchmark}")
        rule, metrics = module.RULE, module.metrics(rows)
    labels = by_label(rows)
    categories = [micro(label, rows, right, belongs) for label, belongs in sorted(labels.items())]
    statuses = Counter(row.status for row in rows)
    other = len(rows) - statuses[Status.ANSWERED] - statuses[Status.UNPARSABLE]
    return Scores(
        rule, estimates(rows, metrics, seed), estimates(rows, categories, seed), len(rows), statuses[Status.ANSWERED],
        statuses[Status.UNPARSABLE], other,
    )  # fmt: skip


def right(row: Row) -> float:
    return float(row.correct)


def answered(row: Row) -> bool:
    return row.status is Status.ANSWERED


def by_label(rows: Sequence[Row], prefix: str = ""):
    """A test for each label that begins with `prefix`; a question with several labels belongs to each."""
    labels = {label for row in rows for label in row.labels if label.startswith(prefix)}
    return {label: (lambda row, label=label: label in row.labels) for label in labels}


__all__ = ["SCORED", "Estimate", "Metric", "Scores", "answered", "by_label", "right", "score"]
