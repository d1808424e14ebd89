"""GRPO from one SFT checkpoint under every grounding measure and every way to charge visits, over several seeds.

    python -m benchmarks.reward_ablation --traces runs/demo/traces --checkpoint runs/demo/sft --out runs/reward_ablation

Each run is `trainer.grpo` on `configs/grpo/tiny_cpu.yaml` with another `reward:` section; each
policy then plays the same held-out questions. What is done is not done again; a killed run goes on from its checkpoint.
The table and the figure are made from the folders alone: `--table-only` makes them of what is there.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import yaml

from benchmarks.training_runs import evaluate, panels, spread, table, train, training_rows
from evaluation.style import INK, MUTED, SERIES, replace_block
from navigation import Status, read_trajectories, repeats, write_atomic, write_json

CONFIG = Path("configs/grpo/tiny_cpu.yaml")
MEASURES = ("navigation_f1", "interval_f1", "official")
COSTS: Mapping[str, Mapping[str, Any] | None] = {
    "none": None,
    "fixed": {},
    "steered": {"target": 3.0, "learning_rate": 0.005, "max_weight": 0.1},
}
STYLES = {"none": ("o", ":"), "fixed": ("s", "-"), "steered": ("^", "--")}
"""Marker and line of each way to charge visits."""
QUESTIONS, EPISODES = 150, 32


@dataclass(frozen=True)
class Run:
    """One training: a reward, a seed, and where it is kept."""

    measure: str
    cost: str
    seed: int
    out: Path

    @property
    def folder(self) -> Path:
        return self.out / f"{self.measure}-{self.cost}-{self.seed}"

    def reward(self, shipped: Mapping[str, Any]) -> dict[str, Any]:
        """The shipped `reward:` section with this run's measure and cost; `official` takes its own weight, 1."""
        reward = {name: dict(part) for name, part in shipped.items()}
        reward["grounding"]["measure"] = self.measure
        if self.measure == "official":
            reward["grounding"]["weight"] = 1.0
        change = COSTS[self.cost]
        if change is None:
            return reward | {"visit_cost": None}
        reward["visit_cost"] |= change
        return reward

    def play(self, traces: Path, checkpoint: Path, steps: int) -> None:
        """Trains and evaluates, unless that is done."""
        result = self.folder / "result.json"
        if result.is_file():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        values = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
        values |= {"max_steps": steps, "per_device_train_batch_size": EPISODES, "reward": self.reward(values["reward"])}
        config = self.folder / "config.yaml"
        write_atomic(config, yaml.safe_dump(values, sort_keys=False))
        model = train(
            config,
            self.folder / "model",
            data=traces,
            model_name_or_path=checkpoint,
            seed=self.seed,
            record_rollouts="none",
            save_total_limit=1,
        )
        most = values["max_completion_length"]
        played = self.folder / "eval"
        evaluate(model, traces, played, seed=self.seed, limit=QUESTIONS, episode_tokens=most)
        write_json(result, _result(played))


def _result(folder: Path) -> dict[str, float]:
    """Means over the episodes of an evaluation's folder; grounding is what its own mix, the shipped one, measured."""
    played = list(read_trajectories(folder / "trajectories.jsonl"))
    grounding = [value for t in played if (value := t.reward.get("grounding")) is not None]
    return {
        "accuracy": fmean(t.correct for t in played),
        "visits": fmean(len(t.visits) for t in played),
        "repeats": fmean(repeats(t.visits) for t in played),
        "turn_limit": fmean(t.status is Status.OUT_OF_TURNS for t in played),
        "grounding": fmean(grounding) if grounding else 0.0,
        "n": len(played),
    }


def runs(out: Path, seeds: int) -> Iterator[Run]:
    """Every run, all rewards of a seed before the next seed: a stop half way leaves whole seeds."""
    for seed in range(seeds):
        for measure in MEASURES:
            for cost in COSTS:
                yield Run(measure, cost, seed, out)


def results(out: Path, seeds: int) -> dict[tuple[str, str], list[dict[str, float]]]:
    """What is finished, by reward; grounding is scored with the shipped measure in every row."""
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    for run in runs(out, seeds):
        path = run.folder / "result.json"
        if path.is_file():
            found.setdefault((run.measure, run.cost), []).append(json.loads(path.read_text(encoding="utf-8")))
    return found


COLUMNS = ("accuracy", "visits", "grounding", "repeats", "turn_limit")


def markdown(found: Mapping[tuple[str, str], Sequence[Mapping[str, float]]], start: Mapping[str, float] | None) -> str:
    """Mean ± standard deviation over seeds; the start of all runs on top."""
    columns = [name.replace("_", " ") for name in COLUMNS]
    rows = []
    if start is not None:
        rate = f"{start['accuracy'] / start['visits']:.3f}"
        rows.append(["SFT, where all start", "", "", *(f"{start[name]:.3f}" for name in COLUMNS), rate])
    for (measure, cost), ends in found.items():
        cells = [spread([end[name] for end in ends], 3) for name in COLUMNS]
        rate = f"{fmean(end['accuracy'] / max(end['visits'], 1e-9) for end in ends):.3f}"
        rows.append([f"`{measure}`", cost, str(len(ends)), *cells, rate])
    return table(["measure", "visit cost", "seeds", *columns, "accuracy per visit"], rows)


def figure(out: Path, seeds: int, path: Path, start: Mapping[str, float] | None) -> None:
    """Held-out accuracy against visits of every run, and visits while training."""
    found = results(out, seeds)
    with panels(2, path, height=4.2) as (left, right):
        for colour, measure in zip(SERIES[: len(MEASURES)], MEASURES, strict=True):
            for cost, (marker, line) in STYLES.items():
                rows = found.get((measure, cost), [])
                left.scatter(
                    [row["visits"] for row in rows],
                    [row["accuracy"] for row in rows],
                    s=38,
                    marker=marker,
                    color=colour,
                    alpha=0.85,
                    label=f"{measure}, cost {cost}",
                    linewidths=0,
                )
                same = (run for run in runs(out, seeds) if (run.measure, run.cost) == (measure, cost))
                curves = [[row["visits"] for row in training_rows(run.folder / "model")] for run in same]
                # As far as the shortest goes.
                mean = [fmean(visits) for visits in zip(*filter(None, curves), strict=False)]
                right.plot(range(1, len(mean) + 1), mean, line, color=colour, linewidth=1.6)
        if start is not None:
            left.scatter([start["visits"]], [start["accuracy"]], marker="*", s=130, color=INK, label="SFT, the start")
        left.set(xlabel="visits a question, held out", ylabel="accuracy, held out")
        right.set(xlabel="GRPO step", ylabel="visits an episode, training (mean of seeds)")
        legend = "dotted: no cost; solid: fixed; dashed: steered"
        corner = {"transform": right.transAxes, "ha": "right", "va": "top"}
        right.text(0.98, 0.97, legend, fontsize=8, color=MUTED, **corner)
        left.legend(fontsize=7)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--traces", type=Path, default=Path("runs/demo/traces"))
    parser.add_argument("--checkpoint", type=Path, default=Path("runs/demo/sft"))
    parser.add_argument("--out", type=Path, default=Path("runs/reward_ablation"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--figure", type=Path, default=Path("docs/results/images/reward_ablation.png"))
    parser.add_argument("--page", type=Path, default=Path("docs/results/reward_ablation.md"))
    parser.add_argument("--table-only", action="store_true")
    options = parser.parse_args()
    every = list(runs(options.out, options.seeds))
    for number, run in enumerate([] if options.table_only else every, 1):
        print(f"{number}/{len(every)} {run.folder.name}", flush=True)
        run.play(options.traces, options.checkpoint, options.steps)
    played = options.checkpoint.parent / "eval" / "sft"
    start = _result(played) if (played / "trajectories.jsonl").is_file() else None
    found = markdown(results(options.out, options.seeds), start)
    write_atomic(options.out / "table.md", found)
    replace_block(options.page, "reward_ablation", found)
    figure(options.out, options.seeds, options.figure, start)
    print(found)


if __name__ == "__main__":
    main()
