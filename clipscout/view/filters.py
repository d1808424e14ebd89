"""Which trajectories a list shows, in which order, and two sets question by question."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from statistics import fmean
from typing import Any

from clipscout.view.index import Row
from clipscout.view.trajectory_set import TrajectorySet
from navigation import InputError, Status

_SORTED = ("question", "outcome", "reward", "visits", "refused", "turns", "step", "advantage")
ORDERS = ("file", *(f"{name}{end}" for name in _SORTED for end in ("", "-")))
"""As recorded, or by a column; with `-` behind it the highest comes first."""
CORRECT = ("right", "wrong", "none", "undecided")


@dataclass(frozen=True, slots=True)
class Filter:
    """Bounds are included; an empty text means any.

    `correct` is what `answered` says of an episode. `text` is looked for in the question,
    its id and the video's id, without regard to case.
    """

    status: str = ""
    correct: str = ""
    reward_from: float | None = None
    reward_to: float | None = None
    visits_from: int | None = None
    visits_to: int | None = None
    step: int | None = None
    kind: str = ""
    text: str = ""
    order: str = "file"

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> "Filter":
        """Reads what is there; keys of other meaning are left out.

        Raises:
            InputError: a value that does not fit its key.
        """
        values: dict[str, Any] = {}
        for each in fields(cls):
            given = (query.get(each.name) or "").strip()
            if given:
                values[each.name] = _read(each.name, given[:200])
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Query values of what is not at its default."""
        given = {each.name: getattr(self, each.name) for each in fields(self)}
        return {key: value for key, value in given.items() if value not in (None, "", "file")}

    def select(self, trajectories: TrajectorySet) -> list[int]:
        """Numbers of the rows that match, in order."""
        texts, kinds = trajectories.questions.texts, trajectories.questions.kinds
        text = self.text.casefold()
        found = [
            number
            for number, row in enumerate(trajectories.rows)
            if self._matches(row)
            and (not self.kind or kinds.get(row.question_id) == self.kind)
            and (not text or text in f"{texts.get(row.question_id, '')}\n{row.id}\n{row.video_id}".casefold())
        ]
        if self.order != "file":
            name = self.order.removesuffix("-")
            found.sort(key=lambda number: _sort_key(trajectories, number, name), reverse=self.order.endswith("-"))
        return found

    def _matches(self, row: Row) -> bool:
        if self.status and row.status != self.status:
            return False
        if self.correct and self.correct != answered(row):
            return False
        if self.step is not None and row.step != self.step:
            return False
        return _within(row.visits, self.visits_from, self.visits_to) and _within(
            row.total, self.reward_from, self.reward_to
        )


def answered(row: Row) -> str:
    """One of `CORRECT`: right, wrong, none (no answer) or undecided (one that nobody could judge)."""
    if not row.decided:
        return "undecided"
    return "right" if row.correct else "wrong" if row.prediction else "none"


def _sort_key(trajectories: TrajectorySet, number: int, name: str) -> Any:
    row = trajectories.rows[number]
    if name == "question":
        return trajectories.questions.texts.get(row.question_id) or row.question_id
    if name == "outcome":
        return row.correct, not row.decided, row.prediction is not None, row.status
    value = row.total if name == "reward" else getattr(row, name)
    return -math.inf if value is None else value


def _within(value: float | None, low: float | None, high: float | None) -> bool:
    if low is None and high is None:
        return True
    return value is not None and (low is None or value >= low) and (high is None or value <= high)


def _read(name: str, given: str) -> Any:
    choices = {"status": tuple(Status), "correct": CORRECT, "order": ORDERS}.get(name)
    if choices is not None:
        if given not in choices:
            raise InputError("filter", name, given, f"give one of {', '.join(choices)}")
        return given
    if name in ("kind", "text"):
        return given
    try:
        value = float(given) if name.startswith("reward") else int(given)
        if not math.isfinite(value):
            raise ValueError
    except ValueError:
        raise InputError("filter", name, given, "give a number") from None
    return value


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """Counts and means of some trajectories."""
    totals = [row.total for row in rows if row.total is not None]
    return {
        "statuses": Counter(row.status for row in rows),
        "right": sum(row.correct for row in rows),
        "decided": sum(row.decided for row in rows),
        "visits": fmean(row.visits for row in rows) if rows else None,
        "total": fmean(totals) if totals else None,
    }


_OUTCOMES = {(True, True): "both", (True, False): "left", (False, True): "right", (False, False): "neither"}
OUTCOMES = ("both", "left", "right", "neither", "undecided")


@dataclass(frozen=True, slots=True)
class Pair:
    """One question's trajectories in both sets, as row numbers; the first of each is the one compared."""

    question_id: str
    left: Sequence[int]
    right: Sequence[int]
    outcome: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """`counts` by outcome, `undecided` where one answer is; `visits` and `accuracy` are means over the pairs, left and
    right, `accuracy` over those that are decided on both sides."""

    pairs: list[Pair]
    counts: dict[str, int]
    visits: tuple[float, float]
    accuracy: tuple[float, float]


def compare(left: TrajectorySet, right: TrajectorySet) -> Comparison:
    """Pairs the questions that both sets hold, in the left one's order."""
    theirs = right.by_question()
    pairs = []
    for question_id, numbers in left.by_question().items():
        if question_id in theirs:
            one, other = left.rows[numbers[0]], right.rows[theirs[question_id][0]]
            outcome = _OUTCOMES[one.correct, other.correct] if one.decided and other.decided else "undecided"
            pairs.append(Pair(question_id, numbers, theirs[question_id], outcome))
    counts = {outcome: sum(pair.outcome == outcome for pair in pairs) for outcome in OUTCOMES}
    rows = [(left.rows[pair.left[0]], right.rows[pair.right[0]]) for pair in pairs]
    decided = [(one, other) for one, other in rows if one.decided and other.decided]

    def means(name: str, of: Sequence[tuple[Row, Row]]) -> tuple[float, float]:
        one, other = (fmean(getattr(pair[side], name) for pair in of) if of else 0.0 for side in (0, 1))
        return one, other

    return Comparison(pairs, counts, means("visits", rows), means("correct", decided))
