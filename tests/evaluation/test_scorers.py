"""Official scoring on hand-made cases: ties, empty predictions, several labels, answers that are no option."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.result import Row
from evaluation.scorers import best_overlap, score, union_iou
from navigation import Status

METER = {"by_level": [0], "captions": 0}


def row(number, answer="A", prediction="A", labels=("x",), clues=(), evidence=(), status=None, sample=0):
    if status is None:
        status = Status.ANSWERED if prediction else Status.UNPARSABLE
    return Row(
        f"q{number}#{sample}", f"q{number}", f"v{number}", labels, 100.0, 4, answer, prediction, status, 0, 0.0, clues,
        evidence, None, (), METER,
    )  # fmt: skip


def values(benchmark, rows):
    return {name: estimate.value for name, estimate in score(benchmark, rows).metrics.items()}


def test_lvbench_is_micro_and_a_question_counts_under_each_of_its_types():
    rows = [
        row(1, labels=("entity", "reasoning")),
        row(2, labels=("entity",), prediction="B"),
        row(3, labels=("entity",)),
        row(4, labels=("reasoning",), prediction=None),
    ]
    scores = score("lvbench", rows)
    assert scores.metrics["accuracy"].value == 0.5
    assert {label: (e.value, e.n) for label, e in scores.categories.items()} == {
        "entity": (pytest.approx(2 / 3), 3), "reasoning": (0.5, 2)
    }  # fmt: skip
    assert scores.metrics["mean over types"].value == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert (scores.n, scores.answered, scores.unparsable, scores.other) == (4, 3, 1, 0)


def test_mlvu_averages_task_types_whatever_their_sizes():
    rows = [row(number, labels=("count",), prediction="B") for number in range(9)]
    rows += [row(9, labels=("count",)), row(10, labels=("order",))]
    assert values("mlvu", rows) == {"M-Avg": pytest.approx((0.1 + 1.0) / 2), "accuracy": pytest.approx(2 / 11)}


def test_videomme_divides_by_answered_questions_as_the_released_script_does():
    rows = [
        row(1, labels=("Counting", "length: long", "domain: a")),
        row(2, labels=("Counting", "length: long", "domain: a"), prediction="B"),
        row(3, labels=("Counting", "length: long", "domain: a"), prediction=None),
        row(4, labels=("OCR", "length: short", "domain: b")),
    ]
    assert values("videomme", rows) == {
        "overall": pytest.approx(2 / 3), "short": 1.0, "long": 0.5, "accuracy": 0.5
    }  # fmt: skip
    assert score("videomme", [row(1, prediction=None)]).metrics["overall"].value is None


def test_cgbench_merges_unions_and_averages_thresholds():
    rows = [
        # Overlapping predictions count once: 10 of 20 seconds; IoU 0.5 ties with the highest threshold and reaches it.
        row(1, clues=((0, 20),), evidence=((0, 8), (4, 10))),
        # The same with a wrong answer.
        row(2, clues=((0, 20),), evidence=((0, 10),), prediction="B"),
        # IoU 0.25 reaches 0.1 and 0.2.
        row(3, clues=((0, 10), (5, 20)), evidence=((0, 5),)),
        # Nothing cited.
        row(4, clues=((0, 20),)),
    ]
    assert values("cgbench", rows) == {
        "long-acc.": 0.75,
        "mIoU": pytest.approx((0.5 + 0.5 + 0.25 + 0) / 4),
        "rec.@IoU": pytest.approx((1 + 1 + 0.4 + 0) / 4),
        "acc.@IoU": pytest.approx((1 + 0 + 0.4 + 0) / 4),
    }


def test_cgbench_ignores_intervals_beyond_five():
    evidence = tuple((10.0 * place, 10.0 * place + 1) for place in range(5))
    assert values("cgbench", [row(1, clues=((90, 91),), evidence=(*evidence, (90, 91)))])["mIoU"] == 0


def test_nextgqa_takes_the_best_segment_for_each_figure_and_needs_both_for_gqa():
    rows = [
        # Half of the prediction lies in a segment: 0.5 is enough.
        row(1, clues=((0, 5), (40, 50)), evidence=((0, 10), (40, 50))),
        # Well grounded, wrong answer.
        row(2, clues=((0, 10),), evidence=((2, 8),), prediction="B"),
        # Right, ungrounded.
        row(3, clues=((0, 10),), evidence=((50, 60),)),
        # Right, without a span.
        row(4, clues=((0, 10),)),
        # A point inside a segment: IoP 1, IoU 0.
        row(5, clues=((0, 10),), evidence=((3, 3),)),
    ]
    found = values("nextgqa", rows)
    assert found["Acc@QA"] == 0.8
    assert found["Acc@GQA"] == 0.4
    assert found["mIoP"] == pytest.approx((0.5 + 1 + 0 + 0 + 1) / 5)
    assert found["IoP@0.5"] == 0.6
    assert found["mIoU"] == pytest.approx((0.5 + 0.6 + 0 + 0 + 0) / 5)
    assert found["IoU@0.5"] == 0.4


def test_failed_and_cut_episodes_are_wrong_and_counted_apart():
    rows = [row(1, status=Status.FAILED, prediction=None), row(2, status=Status.OUT_OF_TURNS, prediction=None), row(3)]
    scores = score("nextgqa", rows)
    assert (scores.n, scores.answered, scores.unparsable, scores.other) == (3, 1, 0, 2)
    assert scores.metrics["Acc@QA"].value == pytest.approx(1 / 3)


@pytest.mark.parametrize("benchmark", ["lvbench", "videomme", "mlvu", "cgbench", "nextgqa", "goalstep"])
def test_samples_of_a_question_weigh_alike_and_intervals_hold_the_value(benchmark):
    rows = [
        row(n, prediction="AB"[(n + sample) % 3 == 0], sample=sample, clues=((0, 9),), labels=("xy"[n % 2],))
        for n in range(30) for sample in range(2)
    ]  # fmt: skip
    for name, estimate in score(benchmark, rows).metrics.items():
        assert estimate.low <= estimate.value <= estimate.high, name
    single = score(benchmark, [each for each in rows if each.id.endswith("#0")])
    assert single.n == 30


SPANS = st.tuples(st.integers(0, 60), st.integers(0, 60)).map(lambda pair: (min(pair), max(pair)))


@given(SPANS, st.lists(SPANS, min_size=1, max_size=4))
def test_overlap_equals_the_published_formula(span, segments):
    def published(loc):
        if span[0] == span[-1]:
            return (0, 1) if loc[0] <= span[0] <= loc[1] else (0, 0)
        union = (min(loc[0], span[0]), max(loc[-1], span[-1]))
        shared = min(loc[-1], span[-1]) - max(loc[0], span[0])
        return (shared / (union[1] - union[0]) if union[1] > union[0] else 0.0), shared / (span[-1] - span[0])

    best_iou = max(0, *(published(segment)[0] for segment in segments))
    best_iop = max(0, *(published(segment)[1] for segment in segments))
    assert best_overlap(span, segments) == (pytest.approx(best_iou), pytest.approx(best_iop))


@given(st.lists(SPANS, max_size=4), st.lists(SPANS, max_size=4))
def test_union_iou_counts_every_second_once(first, second):
    def seconds(spans):
        return {second for begin, end in spans for second in range(begin, end)}

    union = seconds(first) | seconds(second)
    expected = len(seconds(first) & seconds(second)) / len(union) if union else 0.0
    assert math.isclose(union_iou(first, second), expected, abs_tol=1e-12)
