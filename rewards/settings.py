"""Settings of the reward's parts, read from a config mapping. A wrong key is an error that names the nearest one."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from navigation import GET_CAPTION, JUMP, SEARCH, VIDEO_QA, InputError, did_you_mean
from rewards.grounding import MEASURES

SOURCE = "reward config"

PRICES: dict[str, float] = {GET_CAPTION: 1.0, VIDEO_QA: 2.0, SEARCH: 1.0, JUMP: 0.5}
"""Visit units by tool. A search shows about as many words as a caption; a jump shows none."""


@dataclass(frozen=True, slots=True)
class AnswerSettings:
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class GroundingSettings:
    """`measure` is one of `rewards.grounding.MEASURES`. The weight of `official` defaults to 1, as released."""

    measure: str = "navigation_f1"
    weight: float = 0.3


@dataclass(frozen=True, slots=True)
class VisitCostSettings:
    """What visits cost a right answer.

    Args:
        weight: Reward per visit unit charged; with a target, where the steered weight starts.
        budget: Visit units that are free.
        prices: Visit units by tool.
        cap: Most visit units charged, so that a long right episode still beats a wrong one.
        target: Mean cost of right answers in visit units to steer the weight to; None keeps the weight fixed.
        learning_rate: Weight added per visit unit above the target at every update.
        max_weight: Upper bound of a steered weight.
    """

    weight: float = 0.03
    budget: float = 2.0
    prices: Mapping[str, float] = field(default_factory=PRICES.copy)
    cap: float = 10.0
    target: float | None = None
    learning_rate: float = 0.002
    max_weight: float = 0.05


@dataclass(frozen=True, slots=True)
class FormatSettings:
    """Penalties, summed and cut at 1: one for each way to end without an answer, and one for each refused call."""

    weight: float = 0.1
    unparsable: float = 1.0
    out_of_turns: float = 1.0
    out_of_tokens: float = 1.0
    refused: float = 0.25


@dataclass(frozen=True, slots=True)
class Settings:
    """All parts. A part that is switched off is None."""

    answer: AnswerSettings | None = AnswerSettings()
    grounding: GroundingSettings | None = GroundingSettings()
    visit_cost: VisitCostSettings | None = VisitCostSettings()
    format: FormatSettings | None = FormatSettings()

    @classmethod
    def from_config(cls, config: Mapping[str, Any] | None) -> "Settings":
        """Reads `{part: {key: value}}`. What is left out keeps its default; a part given as null is switched off.

        Raises:
            InputError: an unknown part, key or measure, or a number out of range.
        """
        if config is None:
            return cls()
        _check_keys(config, {each.name for each in fields(cls)}, "")
        defaults = cls()
        parts = {each.name: getattr(defaults, each.name) for each in fields(cls)}
        for part, values in config.items():
            parts[part] = None if values is None else _read_part(part, parts[part], values)
        return cls(**parts)


def _read_part(part: str, default: Any, values: Any) -> Any:
    _check_keys(values, {each.name for each in fields(default)}, f"{part}.")
    read: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{part}.{key}"
        if key == "measure":
            if value not in MEASURES:
                hint = f"give one of {', '.join(MEASURES)}{did_you_mean(value, MEASURES)}"
                raise InputError(SOURCE, name, value, hint)
            read[key] = value
        elif key == "prices":
            _check_keys(value, set(PRICES), f"{name}.")
            read[key] = dict(default.prices) | {tool: _number(f"{name}.{tool}", price) for tool, price in value.items()}
        elif key == "target" and value is None:
            read[key] = None
        else:
            read[key] = _number(name, value)
    if read.get("measure") == "official":
        read.setdefault("weight", 1.0)
    settings = replace(default, **read)
    if isinstance(settings, VisitCostSettings) and settings.target is not None:
        if settings.target < settings.budget:
            raise InputError(
                SOURCE, f"{part}.target", settings.target, f"give at least the budget ({settings.budget}): it is free"
            )
        if settings.weight > settings.max_weight:
            raise InputError(
                SOURCE, f"{part}.weight", settings.weight, f"give at most max_weight ({settings.max_weight})"
            )
    return settings


def _check_keys(values: Any, known: set[str], prefix: str) -> None:
    if not isinstance(values, Mapping):
        raise InputError(
            SOURCE, prefix.rstrip(".") or "config", values, f"give a mapping of {', '.join(sorted(known))}"
        )
    for key in values:
        if key not in known:
            raise InputError(
                SOURCE,
                f"{prefix}{key}",
                values[key],
                f"there is no such key{did_you_mean(key, known)}; known: {', '.join(sorted(known))}",
            )


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
        raise InputError(SOURCE, name, value, "give a finite number of at least 0")
    return float(value)
