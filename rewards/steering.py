"""Steers the weight of the visit cost while a trainer runs, and keeps it in the checkpoint. Needs transformers."""

from typing import TYPE_CHECKING, Any

from navigation import InputError
from rewards.trl_functions import COST_METRIC

if TYPE_CHECKING:
    from rewards.mix import RewardMix


def steering_callback(mix: "RewardMix") -> Any:
    """A `TrainerCallback` that moves the mix's visit cost weight by dual ascent at every log, and is checkpointed.

    It listens to the logged mean cost of right answers, which trl gathers over all processes, so every process takes
    the same step. With `logging_steps=n` it steps once every n optimizer steps. A resumed run goes on with the saved
    weight.

    Args:
        mix: The mix whose `trl_functions` the same trainer was given.

    Raises:
        InputError: the mix has no target to steer to.
    """
    if not mix.cost_weight.steered:
        raise InputError("reward config", "visit_cost.target", None, "give a mean cost to steer to, or use no callback")
    from transformers.trainer_callback import ExportableState, TrainerCallback

    # The trainer may make a restored callback anew, from nothing but its class: hence a class that knows its mix.
    class VisitCostSteering(TrainerCallback, ExportableState):
        @property
        def weight(self) -> float:
            return mix.cost_weight.value

        @weight.setter
        def weight(self, value: float) -> None:
            mix.cost_weight.value = float(value)

        def state(self) -> dict[str, Any]:
            return {"args": {}, "attributes": {"weight": self.weight}}

        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            saved = state.stateful_callbacks.get(type(self).__name__)
            if saved:
                self.weight = saved["attributes"]["weight"]

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            mean_cost = (logs or {}).get(COST_METRIC)
            if mean_cost is not None:
                mix.cost_weight.update(mean_cost)

    return VisitCostSteering()
