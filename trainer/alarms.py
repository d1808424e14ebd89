"""Stops a run that collapses, before it spends another day on a policy that opens nothing or no longer answers."""

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState

from navigation import InputError, did_you_mean, write_json
from navigation.errors import is_number
from trainer.stopping import TrainingFailed

SOURCE = "grpo config"
METRICS = {
    "calls": "tools/call_frequency",
    "entropy": "entropy",
    "reward": "reward",
    "accuracy": "accuracy",
    "refused": "refused",
    "unparsable": "status/unparsable",
    "failed": "status/failed",
    "masked": "masked",
    "kl": "kl",
}
"""What can be watched, by the metric it is read from."""
DEFAULTS: dict[str, dict[str, float]] = {"calls": {"least": 0.05}, "failed": {"most": 0.5}, "reward": {"drop": 1.0}}
BOUNDS = ("least", "most", "drop")
WINDOW = 10


class Alarms(TrainerCallback, ExportableState):
    """Raises `TrainingFailed` when the mean of a metric over the last `window` logs leaves its bounds.

    Every process reads the same gathered metrics, so all end at the same log. No final model is written; checkpoints
    stay.

    Config: `{window: 10, calls: {least: 0.05}, entropy: {least: 0.001, most: 4.0}, reward: {drop: 0.5}}`. `least` and
    `most` bound the mean; `drop` is how far it may fall below its highest so far. A watch given as null is off. What it
    saw travels in the checkpoints.

    Args:
        config: As above; None takes `DEFAULTS`.
        folder: Where `alarm.json` is written when one rings.
        beta: Weight of the KL divergence in the loss.

    Raises:
        InputError: an unknown watch or bound, a bound that is not a number, or a watch of what is not logged.
    """

    def __init__(self, config: Mapping[str, Any] | None, folder: str | Path, beta: float = 0.0) -> None:
        self.folder = Path(folder)
        self.window, self.bounds = _read(config)
        if "kl" in self.bounds and not beta:
            hint = "set beta above 0: without a reference model no KL divergence is logged, and this never rings"
            raise InputError(SOURCE, "alarms.kl", self.bounds["kl"], hint)
        self.seen: dict[str, list[float]] = {name: [] for name in self.bounds}
        self.highest: dict[str, float] = {}

    def state(self) -> dict[str, Any]:
        seen = {"seen": {name: list(values) for name, values in self.seen.items()}, "highest": dict(self.highest)}
        return {"args": {}, "attributes": seen}

    def on_train_begin(self, args, state, control, **kwargs):
        saved = state.stateful_callbacks.get(type(self).__name__)
        if saved:
            self.seen.update(
                {name: values for name, values in saved["attributes"]["seen"].items() if name in self.seen}
            )
            self.highest = dict(saved["attributes"]["highest"])
        (self.folder / "alarm.json").unlink(missing_ok=True)

    def on_log(self, args, state, control, logs=None, **kwargs):
        for name, bounds in self.bounds.items():
            value = (logs or {}).get(METRICS[name])
            if value is None:
                continue
            values = self.seen[name] = [*self.seen[name], value][-self.window :]
            if len(values) < self.window:
                continue
            mean = statistics.fmean(values)
            self.highest[name] = max(mean, self.highest.get(name, mean))
            broken = _broken(bounds, mean, self.highest[name])
            if broken is not None:
                self._ring(state, name, mean, broken)

    def _ring(self, state: Any, name: str, mean: float, broken: str) -> None:
        text = f"{name} ({METRICS[name]}) averages {mean:.4g} over {self.window} logs: {broken}"
        best = state.best_model_checkpoint
        if state.is_world_process_zero:
            alarm = {"step": state.global_step, "watch": name, "mean": mean, "text": text, "best_checkpoint": best}
            write_json(self.folder / "alarm.json", alarm)
        raise TrainingFailed(
            f"alarm at step {state.global_step}: {text}. "
            + (f"The best checkpoint is {best}." if best else "Earlier checkpoints are kept; none was evaluated.")
        )


def _broken(bounds: Mapping[str, float], mean: float, highest: float) -> str | None:
    if mean < bounds.get("least", -float("inf")):
        return f"the least allowed is {bounds['least']:g}"
    if mean > bounds.get("most", float("inf")):
        return f"the most allowed is {bounds['most']:g}"
    if highest - mean > bounds.get("drop", float("inf")):
        return f"it was {highest:.4g}, and may drop by {bounds['drop']:g}"
    return None


def _read(config: Mapping[str, Any] | None) -> tuple[int, dict[str, dict[str, float]]]:
    if config is not None and not isinstance(config, Mapping):
        raise InputError(SOURCE, "alarms", config, f"give a mapping of window and some of {', '.join(METRICS)}")
    values = dict(DEFAULTS) if config is None else dict(config)
    window = values.pop("window", WINDOW)
    if type(window) is not int or window < 1:
        raise InputError(SOURCE, "alarms.window", window, "give a whole number of logs, at least 1")
    watched: dict[str, dict[str, float]] = {}
    for name, bounds in values.items():
        if name not in METRICS:
            hint = f"give one of {', '.join(METRICS)}{did_you_mean(name, METRICS)}"
            raise InputError(SOURCE, f"alarms.{name}", bounds, hint)
        if bounds is None:
            continue
        if not isinstance(bounds, Mapping) or not bounds or not set(bounds) <= set(BOUNDS):
            raise InputError(SOURCE, f"alarms.{name}", bounds, f"give a mapping with some of {', '.join(BOUNDS)}")
        for bound, value in bounds.items():
            if not is_number(value):
                raise InputError(SOURCE, f"alarms.{name}.{bound}", value, "give a number")
        watched[name] = dict(bounds)
    return window, watched
