"""The one place that weighs and sums the parts of the reward; what an episode was worth, part by part."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from longvideo_r1.score import official_grounding, tagged
from navigation import Lookup, Question, Status, TimeGrid, Visit
from rewards.answer import WRONG, Verdict, by_rules, needs_verdict
from rewards.grounding import f1_of_segments, navigation_f1_of
from rewards.settings import FormatSettings, Settings, VisitCostSettings
from rewards.visits import Tally, clue_time, tally

PARTS = ("answer", "grounding", "visit_cost", "format")


@dataclass(frozen=True, slots=True)
class Breakdown:
    """Raw values, weights and total of one episode.

    Attributes:
        parts: Raw value by part; None where the part does not apply. `visit_cost` is in visit units, the others are in
            [0, 1] (the `official` grounding is not bounded).
        weights: Signed weight by part: cost and format are negative.
        total: Weighted sum of the parts that apply; None for a failed episode, which no reward can judge, and for an
            answer in words that nobody could say anything of.
        status: How the episode ended.
        tally: Cost and usefulness of the visits, before budget and cap.
        refused: Calls that opened nothing.
    """

    parts: Mapping[str, float | None]
    weights: Mapping[str, float]
    total: float | None
    status: Status
    tally: Tally
    refused: int

    def to_dict(self) -> dict[str, float | None]:
        """Raw values by part and the total, as `Trajectory.reward` keeps them."""
        return {**self.parts, "total": self.total}


def charged(result: Tally, settings: VisitCostSettings) -> float:
    """Visit units charged: what exceeds the budget, and every wasted visit in full, at most `cap`.

    Charged on right answers only; the caller decides. A wasted visit (a repeat, or a segment opened after something
    inside it) is never free, so that repeating does not even tie.
    """
    over = max(0.0, result.cost - result.wasted_cost - settings.budget)
    return min(settings.cap, over + result.wasted_cost)


class SteeredWeight:
    """The weight of the visit cost: fixed, or a Lagrange multiplier for the constraint mean cost <= target.

    Dual ascent: weight <- clip(weight + learning_rate * (mean cost - target), 0, max_weight). The mean is over the cost
    of right answers in visit units. The reward charges the part of the cost above the budget: with a budget of 0 this
    is the Lagrangian of the constraint, otherwise a one-sided form of it.
    """

    def __init__(self, settings: VisitCostSettings) -> None:
        self.settings = settings
        self.value = settings.weight

    @property
    def steered(self) -> bool:
        return self.settings.target is not None

    def update(self, mean_cost: float) -> float:
        """One step of dual ascent; returns the new weight. A fixed weight stays as it is."""
        if self.settings.target is not None:
            step = self.settings.learning_rate * (mean_cost - self.settings.target)
            self.value = min(self.settings.max_weight, max(0.0, self.value + step))
        return self.value


def format_penalty(status: Status, refused: int, settings: FormatSettings) -> float:
    """Penalty in [0, 1]: what the ending costs plus what each refused call costs, cut at 1.

    Visits play no part, so opening more segments never makes it smaller.
    """
    ending = 0.0
    if status is Status.UNPARSABLE:
        ending = settings.unparsable
    elif status is Status.OUT_OF_TURNS:
        ending = settings.out_of_turns
    elif status is Status.OUT_OF_TOKENS:
        ending = settings.out_of_tokens
    return min(1.0, ending + refused * settings.refused)


class RewardMix:
    """Weighted parts of the reward. Picklable; holds no torch. `parts` names those that are switched on, in order.

    | status | answer | grounding | visit_cost | format |
    |---|---|---|---|---|
    | answered, right | 1 | as measured | charged | refused calls |
    | answered, partly right | the verdict's share | as measured | None | refused calls |
    | answered, wrong | 0 | as measured | None | refused calls |
    | answered, without a verdict | None | None | None | None |
    | unparsable, out_of_turns, out_of_tokens | 0 | as measured | None | penalty of the status, and refused calls |
    | failed, filtered | None | None | None | None |

    None is not applicable: trl leaves it out of the sum, and a row of nothing else out of the batch. Grounding is None
    for a question whose clue intervals hold no time. With the defaults every right answer totals more than every wrong
    one.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        cost = self.settings.visit_cost
        self.cost_weight = SteeredWeight(cost or VisitCostSettings(weight=0.0))
        self.parts = tuple(name for name in PARTS if getattr(self.settings, name) is not None)
        self._weights = {
            name: getattr(self.settings, name).weight * (-1 if name in ("visit_cost", "format") else 1)
            for name in self.parts
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any] | None = None) -> "RewardMix":
        """Reads the `reward:` section of a run's config; None gives the defaults.

        Keys: `answer: {weight}`, `grounding: {measure, weight}`, `visit_cost: {weight, budget, prices, cap, target,
        learning_rate, max_weight}`, `format: {weight, unparsable, out_of_turns, out_of_tokens, refused}`. What is left
        out keeps its default; a part given as null is switched off.

        Raises:
            InputError: an unknown key (the nearest known one is named), or a value out of range.
        """
        return cls(Settings.from_config(config))

    @property
    def weights(self) -> dict[str, float]:
        """Signed weight by part as it stands now: cost and format are negative."""
        weights = dict(self._weights)
        if "visit_cost" in weights:
            weights["visit_cost"] = -self.cost_weight.value
        return weights

    def score(
        self,
        question: Question,
        grid: TimeGrid,
        visits: Sequence[Visit],
        status: Status,
        prediction: str | None,
        refused: int,
        completion_text: str | None = None,
        keep_steps: bool = False,
        lookups: Sequence[Lookup] = (),
        verdict: Verdict | None = None,
    ) -> Breakdown:
        """Scores one episode.

        Args:
            question: Ground truth: the right letter and the clue intervals.
            grid: Grid of the tree that was played.
            visits: Visits in order, from the environment's record.
            status: How the episode ended.
            prediction: The letter it ended with, or the answer in words.
            refused: Calls that opened nothing.
            completion_text: The whole transcript in the released tagged format, read by the `official` measure only.
                Default: the executed visits rendered in that format, so that calls only talked about earn nothing.
            keep_steps: Whether `Breakdown.tally` keeps each visit's part.
            lookups: Searches and jumps, from the environment's record: charged as visits are, part of nothing else.
            verdict: On an answer in words; None: rules alone decide.

        Raises:
            InputError: a visit outside the grid, or of an unknown tool.
        """
        settings = self.settings
        clues = clue_time(question.clue_intervals, grid)
        result = tally(visits, clues, self.cost_weight.settings.prices, keep_steps, lookups)
        parts: dict[str, float | None] = dict.fromkeys(self.parts)
        weights = self.weights
        if status in (Status.FAILED, Status.FILTERED):
            return Breakdown(parts, weights, None, status, result, refused)
        right = status is Status.ANSWERED and prediction == question.answer
        worth: float | None = 1.0 if right else 0.0
        if needs_verdict(question, status, prediction):
            verdict = verdict or by_rules(question, prediction or "") or WRONG
            right, worth = verdict.right, verdict.share
            if worth is None:
                return Breakdown(parts, weights, None, status, result, refused)
        if settings.answer is not None:
            parts["answer"] = worth
        if settings.grounding is not None and clues.total > 0.0:
            measure = settings.grounding.measure
            if measure == "navigation_f1":
                parts["grounding"] = navigation_f1_of(result, clues)
            elif measure == "interval_f1":
                # Wasted visits are left out, so that a parent opened after its child does not pay here either.
                parts["grounding"] = f1_of_segments(frozenset(result.fresh), clues)
            else:
                text = tagged(visits, prediction) if completion_text is None else completion_text
                parts["grounding"] = official_grounding(text, question.clue_intervals, grid.width, grid.duration)
        if settings.visit_cost is not None and right:
            parts["visit_cost"] = charged(result, settings.visit_cost)
        if settings.format is not None:
            parts["format"] = format_penalty(status, refused, settings.format)
        total = sum(weights[name] * value for name, value in parts.items() if value is not None)
        return Breakdown(parts, weights, total, status, result, refused)
