"""GRPO from a policy whose SFT is weak, over several seeds: how much more is right on held-out questions.

    make demo
    make sft SFT_CONFIG=configs/sft/tiny_weak_cpu.yaml
    python -m benchmarks.weak_start

Every stage is the command a user would type: `trainer.grpo` on `configs/grpo/tiny_weak_cpu.yaml`, once a seed, and
`clipscout eval` of the start and of every end on the same questions. What is done is not done again, and a killed run
goes on from its checkpoint.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from navigation import write_atomic, write_json
from trainer.recorder import read_metrics

CONFIG = Path("configs/grpo/tiny_weak_cpu.yaml")
LAUNCH = ["accelerate.commands.launch", "--config_file", "launch/accelerate/cpu.yaml", "-m", "trainer.grpo"]
HELD_OUT, QUESTIONS, SMOOTH = "0.1", "400", 5


def train(traces: Path, start: Path, seed: int, folder: Path) -> Path:
    """Trains unless that is done; returns its folder."""
    _once(
        folder,
        [
            *LAUNCH,
            "--config",
            str(CONFIG),
            "--data",
            str(traces),
            "--model_name_or_path",
            str(start),
            "--output_dir",
            str(folder),
            "--seed",
            str(seed),
            "--held_out_share",
            HELD_OUT,
        ],
    )
    return folder


def evaluate(checkpoint: Path, traces: Path, folder: Path) -> Mapping[str, Any]:
    """The policy's summary on held-out videos."""
    _once(
        folder,
        [
            "clipscout.main",
            "eval",
            "--policy",
            "local",
            "--checkpoint",
            str(checkpoint),
            "--traces",
            str(traces),
            "--held-out-share",
            HELD_OUT,
            "--limit",
            QUESTIONS,
            "--max-completion-tokens",
            "384",
            "--out",
            str(folder),
        ],
    )
    (summary,) = json.loads((folder / "summary.json").read_text(encoding="utf-8"))["policies"].values()
    return summary


def _once(folder: Path, module: Sequence[str]) -> None:
    marker = folder.parent / f"{folder.name}.done.json"
    if marker.is_file() and json.loads(marker.read_text(encoding="utf-8")) == list(module):
        return
    print(f"{folder}: {' '.join(module)}", flush=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    log = folder.parent / f"{folder.name}.log"
    with open(log, "a", encoding="utf-8") as output:
        code = subprocess.run([sys.executable, "-m", *module], stdout=output, stderr=subprocess.STDOUT, check=False)
    if code.returncode:
        sys.exit(f"{folder}: exit code {code.returncode}; see {log}")
    write_json(marker, list(module))


def markdown(start: Mapping[str, Any], ends: Mapping[int, Mapping[str, Any]]) -> str:
    """One row a policy, with 95 % intervals."""
    lines = ["| policy | accuracy | visits | points gained |", "|---|---|---|---|"]
    for name, summary in [("SFT, weak", start), *((f"GRPO, seed {seed}", end) for seed, end in ends.items())]:
        low, high = summary["accuracy_ci"]
        gain = "" if summary is start else f"{100 * (summary['accuracy'] - start['accuracy']):+.1f}"
        lines.append(
            f"| {name} | {summary['accuracy']:.3f} ({low:.3f}–{high:.3f}) | {summary['visits']:.2f} | {gain} |"
        )
    return "\n".join(lines) + "\n"


def figure(runs: Mapping[int, Path], start: Mapping[str, Any], ends: Mapping[int, Any], path: Path) -> None:
    """Accuracy and visits of training episodes, smoothed, and on held-out questions before and after, as marks."""
    import matplotlib
    from matplotlib.figure import Figure

    from evaluation.drawing import STYLE
    from evaluation.style import INK, SERIES

    with matplotlib.rc_context(STYLE):
        drawing = Figure(figsize=(10, 3.8), layout="constrained")
        left, right = drawing.subplots(1, 2)
        for number, (seed, folder) in enumerate(runs.items()):
            rows = [row for row in read_metrics(folder / "metrics.jsonl") if "reward" in row]
            windows = [rows[max(0, end - SMOOTH) : end] for end in range(1, len(rows) + 1)]
            for axes, metric in ((left, "accuracy"), (right, "visits")):
                values = [fmean(row[metric] for row in window) for window in windows]
                axes.plot(range(1, len(rows) + 1), values, color=SERIES[number], label=f"seed {seed}")
                axes.plot(len(rows) + 1, ends[seed][metric], "o", color=SERIES[number], clip_on=False)
        for axes, metric in ((left, "accuracy"), (right, "visits")):
            axes.plot(0, start[metric], "*", color=INK, markersize=11, clip_on=False, label="SFT")
            axes.set(xlabel="GRPO step", title=f"{metric.capitalize()} (line: training; marks: held out)")
        left.set_ylim(0, 1)
        right.set_ylim(bottom=0)
        left.legend(loc="lower right")
        path.parent.mkdir(parents=True, exist_ok=True)
        drawing.savefig(path, dpi=120, facecolor="white")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--traces", type=Path, default=Path("runs/demo/traces"))
    parser.add_argument("--start", type=Path, default=Path("runs/weak_sft"))
    parser.add_argument("--out", type=Path, default=Path("runs/weak_start"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--figure", type=Path, help="where to save the picture; default: in --out")
    options = parser.parse_args()
    start = evaluate(options.start, options.traces, options.out / "eval" / "start")
    print(f"the start: accuracy {start['accuracy']:.3f}, {start['visits']:.2f} visits", flush=True)
    runs, ends = {}, {}
    for seed in range(options.seeds):
        runs[seed] = train(options.traces, options.start, seed, options.out / f"grpo-{seed}")
        ends[seed] = evaluate(runs[seed], options.traces, options.out / "eval" / f"grpo-{seed}")
        table = markdown(start, ends)
        write_atomic(options.out / "table.md", table)
        figure(runs, start, ends, options.figure or options.out / "weak_start.png")
        print(table, flush=True)


if __name__ == "__main__":
    main()
