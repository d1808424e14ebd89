"""GRPO from one SFT checkpoint under every grounding measure and every way to charge visits, over several seeds.

    python -m benchmarks.reward_ablation --traces runs/demo/traces --checkpoint runs/demo/sft --out runs/reward_ablation

Each run is what `python -m trainer.grpo` does on `configs/grpo/tiny_cpu.yaml` with another `reward:` section; each
policy then plays the same held-out questions. What is done is not done again; a killed run goes on from its checkpoint.
The table and the figure are made from the folders alone: `--table-only` makes them of what is there.
"""

import argparse
import json
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import yaml

import trainer.grpo
from evaluation.journal import read_trajectories
from evaluation.run import evaluate_corpus
from evaluation.style import replace_block
from navigation import Status, repeats, write_atomic, write_json
from trainer.recorder import read_metrics

CONFIG = Path("configs/grpo/tiny_cpu.yaml")
MEASURES = ("navigation_f1", "interval_f1", "official")
COSTS: Mapping[str, Mapping[str, Any] | None] = {
    "none": None,
    "fixed": {},
    "steered": {"target": 3.0, "learning_rate": 0.005, "max_weight": 0.1},
}
HELD_OUT, QUESTIONS, EPISODES = 0.1, 150, 32


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
        values |= {
            "data": str(traces),
            "model_name_or_path": str(checkpoint),
            "output_dir": str(self.folder / "model"),
            "seed": self.seed,
            "max_steps": steps,
            "held_out_share": HELD_OUT,
            "per_device_train_batch_size": EPISODES,
            "reward": self.reward(values["reward"]),
            "record_rollouts": "none",
            "save_total_limit": 1,
        }
        config = self.folder / "config.yaml"
        write_atomic(config, yaml.safe_dump(values, sort_keys=False))
        _in_child(self.folder, lambda: trainer.grpo.main(["--config", str(config)]))
        _in_child(
            self.folder,
            lambda: evaluate_corpus(
                traces / "questions.jsonl",
                traces / "trees",
                "local",
                self.folder / "eval",
                seed=self.seed,
                limit=QUESTIONS,
                held_out_share=HELD_OUT,
                checkpoint=str(self.folder / "model"),
                max_completion_tokens=values["max_completion_length"],
            ),
        )
        write_json(result, _result(self.folder / "eval"))


def _in_child(folder: Path, call: Callable[[], object]) -> None:
    """Runs `call` in a fork, which spares it the seconds that torch and trl take to load; it writes to log.txt."""
    child = multiprocessing.get_context("fork").Process(target=_logged, args=(folder / "log.txt", call))
    child.start()
    child.join()
    if child.exitcode:
        sys.exit(f"{folder}: exit code {child.exitcode}; see log.txt there")


def _logged(path: Path, call: Callable[[], object]) -> None:
    with open(path, "a", encoding="utf-8") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        call()


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
    lines = [
        "| measure | visit cost | seeds | accuracy | visits | grounding | repeats | turn limit | accuracy per visit |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    if start is not None:
        cells = [f"{start[name]:.3f}" for name in COLUMNS]
        lines.append(f"| SFT, where all start | | | {' | '.join(cells)} | {start['accuracy'] / start['visits']:.3f} |")
    for (measure, cost), rows in found.items():
        cells = []
        for name in COLUMNS:
            values = [row[name] for row in rows]
            spread = f" ± {stdev(values):.3f}" if len(values) > 1 else ""
            cells.append(f"{fmean(values):.3f}{spread}")
        rate = fmean(row["accuracy"] / max(row["visits"], 1e-9) for row in rows)
        lines.append(f"| `{measure}` | {cost} | {len(rows)} | {' | '.join(cells)} | {rate:.3f} |")
    return "\n".join(lines) + "\n"


def figure(out: Path, seeds: int, path: Path, start: Mapping[str, float] | None) -> None:
    """Held-out accuracy against visits of every run, and visits while training."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from evaluation.style import INK, LINE, MUTED, SERIES

    plt.rcParams["svg.hashsalt"] = "clipscout"
    markers = {"none": "o", "fixed": "s", "steered": "^"}
    fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), constrained_layout=True)
    for number, measure in enumerate(MEASURES):
        for cost, marker in markers.items():
            rows = results(out, seeds).get((measure, cost), [])
            left.scatter(
                [row["visits"] for row in rows],
                [row["accuracy"] for row in rows],
                s=38,
                marker=marker,
                color=SERIES[number],
                alpha=0.85,
                label=f"{measure}, cost {cost}",
                linewidths=0,
            )
            curves = [
                read_metrics(run.folder / "model" / "metrics.jsonl")
                for run in runs(out, seeds)
                if (run.measure, run.cost) == (measure, cost)
            ]
            curves = [[row["visits"] for row in curve if "visits" in row] for curve in curves if curve]
            if curves:
                steps = min(map(len, curves))
                mean = [fmean(curve[step] for curve in curves) for step in range(steps)]
                style = {"none": ":", "fixed": "-", "steered": "--"}[cost]
                right.plot(range(1, steps + 1), mean, style, color=SERIES[number], linewidth=1.6)
    if start is not None:
        left.scatter([start["visits"]], [start["accuracy"]], marker="*", s=130, color=INK, label="SFT, the start")
    left.set(xlabel="visits a question, held out", ylabel="accuracy, held out")
    right.set(xlabel="GRPO step", ylabel="visits an episode, training (mean of seeds)")
    right.text(
        0.98,
        0.97,
        "dotted: no cost; solid: fixed; dashed: steered",
        transform=right.transAxes,
        ha="right",
        va="top",
        fontsize=8,
        color=MUTED,
    )
    for axes in (left, right):
        axes.grid(color=LINE, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    left.legend(fontsize=7, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--traces", type=Path, default=Path("runs/demo/traces"))
    parser.add_argument("--checkpoint", type=Path, default=Path("runs/demo/sft"))
    parser.add_argument("--out", type=Path, default=Path("runs/reward_ablation"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--figure", type=Path, default=Path("docs/images/reward_ablation.png"))
    parser.add_argument("--page", type=Path, default=Path("docs/rewards.md"))
    parser.add_argument("--table-only", action="store_true")
    options = parser.parse_args()
    every = list(runs(options.out, options.seeds))
    for number, run in enumerate([] if options.table_only else every, 1):
        print(f"{number}/{len(every)} {run.folder.name}", flush=True)
        run.play(options.traces, options.checkpoint, options.steps)
    played = options.checkpoint.parent / "eval" / "sft"
    start = _result(played) if (played / "trajectories.jsonl").is_file() else None
    table = markdown(results(options.out, options.seeds), start)
    write_atomic(options.out / "table.md", table)
    replace_block(options.page, "reward_ablation", table)
    figure(options.out, options.seeds, options.figure, start)
    print(table)


if __name__ == "__main__":
    main()
