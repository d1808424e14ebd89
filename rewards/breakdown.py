"""What one episode was worth, part by part."""

from collections.abc import Mapping
from dataclasses import dataclass

from navigation import Status
from rewards.walk import Walk

PARTS = ("answer", "grounding", "visit_cost", "format")


@dataclass(frozen=True, slots=True)
class Breakdown:
    """Raw values, weights and total of one episode.

    Attributes:
        parts: Raw value by part; None where the part does not apply. `visit_cost` is in visit units, the others are in
            [0, 1] (the `official` grounding is not bounded).
        weights: Signed weight by part: cost and format are negative.
        total: Weighted sum of the parts that apply; None for a failed episode, which no reward can judge.
        status: How the episode ended.
        walk: Cost and usefulness of the visits, before budget and cap.
        refused: Calls that opened nothing.
    """

    parts: Mapping[str, float | None]
    weights: Mapping[str, float]
    total: float | None
    status: Status
    walk: Walk
    refused: int

    def to_dict(self) -> dict[str, float | None]:
        """Raw values by part and the total, as `Trajectory.reward` keeps them."""
        return {**self.parts, "total": self.total}
