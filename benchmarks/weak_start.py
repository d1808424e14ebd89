"""GRPO from a policy whose SFT is weak, over several seeds: how much more is right on held-out questions.

    make demo
    make sft SFT_CONFIG=configs/sft/tiny_weak_cpu.yaml
    python -m benchmarks.weak_start

Every stage is the command a user would type: `trainer.grpo` on `configs/grpo/tiny_weak_cpu.yaml`, once a seed, and
`clipscout eval` of the start and of every end on the same questions. What is done is not done again, and a killed run
goes on from its checkpoint.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.training_runs import evaluate, panels, table, train, training_rows
from evaluation.style import INK, SERIES
from navigation import write_atomic

CONFIG = Path("configs/grpo/tiny_weak_cpu.yaml")
EVALUATION = {"limit": 400, "episode_tokens": 384}
SMOOTH = 5
"""Steps whose mean a curve shows."""


def markdown(start: Mapping[str, Any], ends: Mapping[int, Mapping[str, Any]]) -> str:
    """One row a policy, with 95 % intervals."""
    rows = []
    for name, summary in [("SFT, weak", start), *((f"GRPO, seed {seed}", end) for seed, end in ends.items())]:
        low, high = summary["accuracy_ci"]
        gain = "" if summary is start else f"{100 * (summary['accuracy'] - start['accuracy']):+.1f}"
        rows.append([name, f"{summary['accuracy']:.3f} ({low:.3f}–{high:.3f})", f"{summary['visits']:.2f}", gain])
    return table(["policy", "accuracy", "visits", "points gained"], rows)


def figure(runs: Mapping[int, Path], start: Mapping[str, Any], ends: Mapping[int, Any], path: Path) -> None:
    """Accuracy and visits of training episodes, smoothed, and on held-out questions before and after, as marks."""
    with panels(2, path, width=10) as every:
        for axes, metric in zip(every, ("accuracy", "visits"), strict=True):
            for number, (seed, folder) in enumerate(runs.items()):
                values = [row[metric] for row in training_rows(folder)]
                steps = range(1, len(values) + 1)
                axes.plot(
                    steps,
                    [fmean(values[max(0, end - SMOOTH) : end]) for end in steps],
                    color=SERIES[number],
                    label=f"seed {seed}",
                )
                axes.plot(len(values) + 1, ends[seed][metric], "o", color=SERIES[number], clip_on=False)
            axes.plot(0, start[metric], "*", color=INK, markersize=11, clip_on=False, label="SFT")
            axes.set(xlabel="GRPO step", title=f"{metric.capitalize()} (line: training; marks: held out)")
            axes.set_ylim(0, 1 if metric == "accuracy" else None)
        every[0].legend(loc="lower right")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--traces", type=Path, default=Path("runs/demo/traces"))
    parser.add_argument("--start", type=Path, default=Path("runs/weak_sft"))
    parser.add_argument("--out", type=Path, default=Path("runs/weak_start"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--figure", type=Path, help="where to save the picture; default: in --out")
    options = parser.parse_args()
    start = evaluate(options.start, options.traces, options.out / "eval" / "start", **EVALUATION)
    print(f"the start: accuracy {start['accuracy']:.3f}, {start['visits']:.2f} visits", flush=True)
    runs, ends = {}, {}
    for seed in range(options.seeds):
        name = f"grpo-{seed}"
        folder = options.out / name
        runs[seed] = train(CONFIG, folder, data=options.traces, model_name_or_path=options.start, seed=seed)
        ends[seed] = evaluate(folder, options.traces, options.out / "eval" / name, **EVALUATION)
        found = markdown(start, ends)
        write_atomic(options.out / "table.md", found)
        figure(runs, start, ends, options.figure or options.out / "weak_start.png")
        print(found, flush=True)


if __name__ == "__main__":
    main()
