"""Which training metrics are drawn, and how rows of a metrics log become curves."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Series = dict[str, list[tuple[float, float]]]


@dataclass(frozen=True, slots=True)
class CurveChart:
    """One chart: `(step, value)` pairs by label; `lowest` and `highest` are what its value axis must reach."""

    name: str
    title: str
    series: Series
    lowest: float | None = None
    highest: float | None = None


@dataclass(frozen=True, slots=True)
class _Rule:
    """Metrics whose names match go into one chart; the pattern's group `label`, if it has one, names the curve."""

    name: str
    title: str
    pattern: str
    lowest: float | None = None
    highest: float | None = None


_EVAL = r"(?:eval[_/])?"
_RULES = (
    _Rule("loss", "Loss", rf"(?P<label>{_EVAL}loss)"),
    _Rule("token-accuracy", "Token accuracy", rf"(?P<label>{_EVAL}(?:mean_)?token_accuracy)", highest=1.0),
    _Rule("reward", "Reward", rf"(?P<label>{_EVAL}reward)(?:/mean)?"),
    _Rule("accuracy", "Right answers", rf"(?P<label>{_EVAL}accuracy)(?:/mean)?", 0.0, 1.0),
    _Rule("visits", "Visits a question", rf"(?P<label>{_EVAL}visits)(?:/mean)?", lowest=0.0),
    _Rule("statuses", "How episodes end", r"status(?:es)?/(?P<label>[a-z_]+)", 0.0, 1.0),
)
_PART = re.compile(r"(?:eval[_/])?rewards?(?:_parts?)?/(?P<label>[^/]+?)(?:/mean)?")
"""Reward parts get a chart each: they have scales of their own. trl logs them as `rewards/<name>/mean`."""
_LOSS_OF_REINFORCEMENT = "grpo"


def curves_of(stages: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, list[CurveChart]]:
    """Charts by stage; stages without anything to draw are left out.

    Drawn are `loss`, token accuracy, `reward`, `accuracy`, `visits`, each reward part (`rewards/<name>/mean`) and
    `status/<name>`, with or without `eval_` before them. Rows without `step` and values that are no finite numbers are
    left out.
    """
    return {stage: charts for stage, rows in stages.items() if (charts := _charts(stage, rows))}


def _charts(stage: str, rows: Sequence[Mapping[str, Any]]) -> list[CurveChart]:
    columns: Series = {}
    for row in rows:
        step = row.get("step")
        if _is_number(step):
            for key, value in row.items():
                if key != "step" and _is_number(value):
                    columns.setdefault(key, []).append((step, value))
    charts = []
    for rule in _RULES:
        if rule.name == "loss" and stage.startswith(_LOSS_OF_REINFORCEMENT):
            continue  # the surrogate loss of a policy gradient says nothing about progress
        found: Series = {}
        for key in columns:
            match = re.fullmatch(rule.pattern, key)
            if match:
                found[match["label"].replace("_", " ").replace("/", " ")] = sorted(columns[key])
        if found:
            charts.append(CurveChart(rule.name, rule.title, found, rule.lowest, rule.highest))
    for key in columns:
        match = _PART.fullmatch(key)
        if match:
            label = match["label"].replace("_", " ")
            charts.append(CurveChart(f"part-{key}", f"Reward part: {label}", {label: sorted(columns[key])}))
    return charts


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
