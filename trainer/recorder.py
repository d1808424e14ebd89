"""Every rollout kept beside the run, as trajectories that the viewer reads."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from navigation import InputError, write_jsonl

CHOICES = ("all", "extremes", "none")


def extremes(records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The best and the worst of each group by advantage, in their order; one of a group that is all equal."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for record in records:
        groups.setdefault(record["group"], []).append(record)
    kept = set()
    for members in groups.values():
        best = max(members, key=lambda record: record["advantage"])
        worst = min(members, key=lambda record: record["advantage"])
        kept |= {id(best), id(worst) if worst["advantage"] < best["advantage"] else id(best)}
    return [record for record in records if id(record) in kept]


class RolloutRecorder(TrainerCallback):
    """Writes `<run>/rollouts/step-NNNNNN.jsonl`: one file an optimizer step, one line an episode.

    A line is `Trajectory.to_dict()` with `step`, `group`, `advantage` and `masked` beside it. A step that runs again
    after a kill writes its file again, and resuming drops the files of later steps, so that every step is there once.

    Args:
        folder: The run's folder.
        keep: `all`, `extremes` (the best and worst of each group) or `none`.
    """

    def __init__(self, folder: str | Path, keep: str = "extremes") -> None:
        if keep not in CHOICES:
            raise InputError("grpo config", "record_rollouts", keep, f"give one of {', '.join(CHOICES)}")
        self.folder = Path(folder) / "rollouts"
        self.keep = keep
        self._step: int | None = None
        self._records: list[Mapping[str, Any]] = []

    def write(self, step: int, records: Sequence[Mapping[str, Any]]) -> None:
        """Adds the episodes of one generation to their step's file. Call it on the main process alone."""
        if self.keep == "none":
            return
        if step != self._step:
            self._step, self._records = step, []
        self._records += extremes(records) if self.keep == "extremes" else records
        self.folder.mkdir(parents=True, exist_ok=True)
        write_jsonl(self.path(step), self._records)

    def path(self, step: int) -> Path:
        return self.folder / f"step-{step:06d}.jsonl"

    def on_train_begin(self, args, state, control, **kwargs):
        if not state.is_world_process_zero:
            return
        for path in self.folder.glob("step-*.jsonl"):
            number = path.stem.rpartition("-")[2]
            if number.isdigit() and int(number) > state.global_step:
                path.unlink()


def read_rollouts(folder: str | Path) -> list[dict[str, Any]]:
    """All recorded episodes of a run, step by step."""
    return [
        json.loads(line)
        for path in sorted((Path(folder) / "rollouts").glob("step-*.jsonl"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
