"""Each benchmark's official figures: the rule, where it was read, and the metrics that follow from it."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from evaluation.bootstrap import Estimate, Metric, estimates, macro, micro
from evaluation.meter import MOST, Span
from evaluation.result import Row
from navigation import Status


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
    """Scores rows by the benchmark's own published rule; accuracy, micro and macro, where none is known."""
    rule, metrics = RULES.get(benchmark, _ANY)
    categories = [
        micro(label, rows, right, _both(belongs, decided)) for label, belongs in sorted(by_label(rows).items())
    ]
    statuses = Counter(row.status for row in rows)
    answers, unparsable = statuses[Status.ANSWERED], statuses[Status.UNPARSABLE]
    return Scores(
        rule,
        estimates(rows, metrics(rows), seed),
        estimates(rows, categories, seed),
        len(rows),
        answers,
        unparsable,
        other=len(rows) - answers - unparsable,
    )


def right(row: Row) -> float:
    return float(row.correct)


def decided(row: Row) -> bool:
    """Whether a row counts in an accuracy; of multiple choice all do."""
    return row.decided


def answered(row: Row) -> bool:
    return row.status is Status.ANSWERED and row.decided


def by_label(rows: Sequence[Row]) -> dict[str, Callable[[Row], bool]]:
    """A test for each label; a question with several labels belongs to each."""
    return {label: _has(label) for label in {label for row in rows for label in row.labels}}


def _labels_decided(rows: Sequence[Row]) -> dict[str, Callable[[Row], bool]]:
    return {label: _both(belongs, decided) for label, belongs in by_label(rows).items()}


def _has(label: str) -> Callable[[Row], bool]:
    return lambda row: label in row.labels


def _both(first: Callable[[Row], bool], second: Callable[[Row], bool]) -> Callable[[Row], bool]:
    return lambda row: first(row) and second(row)


# THUDM/LVBench, `lvbench/metrics/compute_accuracy.py`.
LVBENCH = (
    "micro accuracy over all questions; a question of several types counts under each of them. The released script "
    "leaves out questions that the answer file lacks; here every question counts."
)


def _lvbench(rows: Sequence[Row]) -> list[Metric]:
    return [micro("accuracy", rows, right, decided), macro("mean over types", rows, right, _labels_decided(rows))]


# thanku-all/parse_answer, `eval_your_results.py`.
VIDEOMME = (
    "right / answered over all questions, by length too, as the released script has it: a reply without a letter "
    "counts neither above nor below the line. `accuracy` beside it counts every question."
)


def _videomme(rows: Sequence[Row]) -> list[Metric]:
    found = [micro("overall", rows, right, answered)]
    for length in ("short", "medium", "long"):
        here = _has(f"length: {length}")
        if any(map(here, rows)):
            found.append(micro(length, rows, right, _both(answered, here)))
    return [*found, micro("accuracy", rows, right, decided)]


# JUNJIE99/MLVU, dev and test: the multiple-choice tasks.
MLVU = "M-Avg: accuracy of each task type, then the mean over task types, however many questions each has"


def _mlvu(rows: Sequence[Row]) -> list[Metric]:
    return [macro("M-Avg", rows, right, _labels_decided(rows)), micro("accuracy", rows, right, decided)]


# CG-Bench/CG-Bench, `run/utils.py`; arXiv 2412.12075.
CGBENCH = (
    "long-acc.: accuracy. mIoU: IoU of the merged unions of cited (at most five) and clue intervals. rec.@IoU and "
    "acc.@IoU: share of questions whose IoU reaches the threshold, and those of them answered right, averaged over the "
    "thresholds 0.1 to 0.5. A question without a cited interval has IoU 0."
)
_THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5)


def _cgbench(rows: Sequence[Row]) -> list[Metric]:
    def iou(row: Row) -> float:
        return union_iou(row.evidence[:MOST], row.clues)

    def reached(row: Row) -> float:
        """Share of the thresholds that the IoU reaches; one that equals it is reached."""
        return sum(iou(row) >= threshold for threshold in _THRESHOLDS) / len(_THRESHOLDS)

    return [
        micro("long-acc.", rows, right, decided),
        micro("mIoU", rows, iou),
        micro("rec.@IoU", rows, reached),
        micro("acc.@IoU", rows, lambda row: right(row) * reached(row), decided),
    ]


# doc-doc/NExT-GQA, `code/TempGQA/eval_ground.py`.
NEXTGQA = (
    "Acc@QA: accuracy. Acc@GQA: right, and at least half of the predicted span lies in a true segment. mIoP, mIoU: "
    "of the first cited span with the true segment that suits it best; @0.3 and @0.5: share of questions that reach "
    "it. The released script leaves out questions without a prediction; here they count as 0."
)


def _nextgqa(rows: Sequence[Row]) -> list[Metric]:
    def iou(row: Row, least: float | None = None) -> float:
        value, _ = best_overlap(row.evidence[0] if row.evidence else None, row.clues)
        return value if least is None else float(value >= least)

    def iop(row: Row, least: float | None = None) -> float:
        _, value = best_overlap(row.evidence[0] if row.evidence else None, row.clues)
        return value if least is None else float(value >= least)

    return [
        micro("Acc@QA", rows, right, decided),
        micro("Acc@GQA", rows, lambda row: right(row) * iop(row, 0.5), decided),
        micro("mIoP", rows, iop),
        micro("IoP@0.3", rows, partial(iop, least=0.3)),
        micro("IoP@0.5", rows, partial(iop, least=0.5)),
        micro("mIoU", rows, iou),
        micro("IoU@0.3", rows, partial(iou, least=0.3)),
        micro("IoU@0.5", rows, partial(iou, least=0.5)),
    ]


def _any(rows: Sequence[Row]) -> list[Metric]:
    return [micro("accuracy", rows, right, decided), macro("macro", rows, right, _labels_decided(rows))]


Rule = tuple[str, Callable[[Sequence[Row]], list[Metric]]]
RULES: Mapping[str, Rule] = {
    "lvbench": (LVBENCH, _lvbench),
    "videomme": (VIDEOMME, _videomme),
    "mlvu": (MLVU, _mlvu),
    "cgbench": (CGBENCH, _cgbench),
    "nextgqa": (NEXTGQA, _nextgqa),
}
"""The rule's text and its metrics, by benchmark."""
_ANY: Rule = ("accuracy over all questions; macro: mean over categories", _any)


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
