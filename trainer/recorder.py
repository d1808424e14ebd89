"""Every rollout and every logged metric kept beside the run."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from navigation import (
    InputError,
    NavigationEnvironment,
    Status,
    Trajectory,
    read_jsonl,
    read_outcome,
    tool_schemas,
    write_atomic,
    write_jsonl,
)
from rewards import Breakdown
from rewards.answer import Verdict

CHOICES = ("all", "extremes", "none")
STEPS_OPEN = 16
"""Latest steps whose files may still grow: the asynchronous engine ends groups of several policies side by side."""


def record(
    question: Mapping[str, Any],
    messages: Sequence[Mapping[str, Any]],
    spoken: Sequence[Mapping[str, Any]],
    environment: NavigationEnvironment,
    breakdown: Breakdown,
    right: bool,
    status: Status,
    error: str | None,
    step: int,
    group: str,
    sample: int,
    advantage: float,
    masked: bool,
    prompt_tokens: int,
    completion_tokens: int,
    verdict: Verdict | None = None,
) -> dict[str, Any]:
    """One episode as a line of a rollout file.

    Args:
        question: The data set's row.
        messages: Prompt and completion.
        spoken: The completion alone.
        environment: As the episode left it.
        error: What a tool raised.
        step: The optimizer step that the episode feeds, or the version of the policy that played it.
        completion_tokens: Sampled ones.
        verdict: On an answer in words.
    """
    answered = status is Status.ANSWERED
    trajectory = Trajectory(
        id=f"{question['id']}#{group}.{sample}",
        question_id=question["id"],
        video_id=question["video_id"],
        messages=[dict(message) for message in messages],
        tools=tool_schemas(environment.tools),
        prediction=read_outcome(messages, len(question["options"] or ()), truncated=False)[1] if answered else None,
        correct=right and answered,
        status=status,
        visits=environment.visits,
        refused=breakdown.refused,
        turns=sum(message["role"] == "assistant" for message in spoken),
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        error=error,
        reward=breakdown.to_dict(),
        lookups=environment.lookups,
        verdict=verdict.to_dict() if verdict is not None else {},
    )
    return {**trajectory.to_dict(), "step": step, "group": group, "advantage": advantage, "masked": masked}


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
        self._records: dict[int, list[Mapping[str, Any]]] = {}

    def write(self, step: int, records: Sequence[Mapping[str, Any]]) -> None:
        """Adds the episodes of one generation to their step's file. Call it on the main process alone."""
        if self.keep == "none":
            return
        kept = self._records.setdefault(step, [])
        kept += extremes(records) if self.keep == "extremes" else records
        self.folder.mkdir(parents=True, exist_ok=True)
        write_jsonl(self.path(step), kept)
        for old in sorted(self._records)[:-STEPS_OPEN]:
            del self._records[old]

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
    files = sorted((Path(folder) / "rollouts").glob("step-*.jsonl"))
    return [row for path in files for _, row in read_jsonl(path)]


class MetricsLog(TrainerCallback):
    """Appends `{"step", "time", **metrics}` to `<output_dir>/metrics.jsonl` on the main process.

    Resuming drops the lines of steps that will run again, so that every step is there once.
    """

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder) / "metrics.jsonl"

    def on_train_begin(self, args, state, control, **kwargs):
        if not state.is_world_process_zero:
            return
        kept = [row for row in read_metrics(self.path) if row["step"] <= state.global_step]
        write_atomic(self.path, "".join(json.dumps(row) + "\n" for row in kept))

    def on_log(self, args, state, control, logs=None, **kwargs):
        if state.is_world_process_zero and logs:
            row = {"step": state.global_step, "time": round(time.time(), 3), **logs}
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")


def read_metrics(path: str | Path) -> list[dict]:
    """Rows of a metrics file; none if it is not there. A last line cut by a kill is left out."""
    path = Path(path)
    if not path.is_file():
        return []
    return [row for _, row in read_jsonl(path, cut_end=True)]
