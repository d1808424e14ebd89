"""Reads every leaf: what knowing everything is worth, and what it costs."""

from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.policies.planned import PlannedPolicy
from navigation import Path, Task


@dataclass(frozen=True, kw_only=True)
class ExhaustivePolicy(PlannedPolicy):
    """Opens every leaf in time order, then reads."""

    name = "exhaustive"
    reasoning = "I read every leaf in order."

    def plan(self, task: Task) -> Sequence[Path]:
        return list(task.grid.paths(task.grid.depth))
