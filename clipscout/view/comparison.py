"""Two sets of walks question by question: who is right where the other is not, and at how many visits."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from clipscout.view.walk_set import WalkSet

OUTCOMES = ("both", "left", "right", "neither")


@dataclass(frozen=True, slots=True)
class Pair:
    """One question's walks in both sets, as row numbers; the first of each is the one compared."""

    question_id: str
    left: Sequence[int]
    right: Sequence[int]
    outcome: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """`counts` by outcome; `visits` and `accuracy` are means over the pairs, left and right."""

    pairs: list[Pair]
    counts: dict[str, int]
    visits: tuple[float, float]
    accuracy: tuple[float, float]


def compare(left: WalkSet, right: WalkSet) -> Comparison:
    """Pairs the questions that both sets hold, in the left one's order."""
    theirs = right.by_question()
    pairs = []
    for question_id, numbers in left.by_question().items():
        if question_id in theirs:
            one, other = left.rows[numbers[0]].correct, right.rows[theirs[question_id][0]].correct
            outcome = "both" if one and other else "left" if one else "right" if other else "neither"
            pairs.append(Pair(question_id, numbers, theirs[question_id], outcome))
    counts = {outcome: sum(pair.outcome == outcome for pair in pairs) for outcome in OUTCOMES}
    rows = [(left.rows[pair.left[0]], right.rows[pair.right[0]]) for pair in pairs]
    means = tuple(
        tuple(fmean(getattr(pair[side], name) for pair in rows) if rows else 0.0 for side in (0, 1))
        for name in ("visits", "correct")
    )
    return Comparison(pairs, counts, means[0], means[1])
