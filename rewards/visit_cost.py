"""What the visits of a right answer cost, in visit units, and the weight that is steered to a target."""

from rewards.settings import VisitCostSettings
from rewards.walk import Walk


def charged(result: Walk, settings: VisitCostSettings) -> float:
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
