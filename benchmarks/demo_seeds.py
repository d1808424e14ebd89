"""What the demo reaches over several seeds: tables and curves of `docs/results/demo_seeds.md`, from finished runs.

make demo; make demo ARGS="--seed 1 --out runs/demo-1"; make demo ARGS="--seed 2 --out runs/demo-2"
python -m benchmarks.demo_seeds runs/demo runs/demo-1 runs/demo-2
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.training_runs import panels, spread, table, training_rows
from evaluation.style import SERIES, in_order, replace_block

PAGE, FIGURE = Path("docs/results/demo_seeds.md"), Path("docs/results/images/demo_seeds.png")
DIGITS = {
    "accuracy": 3,
    "visits": 2,
    "visit_cost": 2,
    "visit_cost_with_index": 1,
    "visit_cost_with_shared_index": 1,
    "grounding": 3,
}
"""Figures of a policy, and the digits they are shown with."""


def policies_table(summaries: Sequence[Mapping[str, Any]]) -> str:
    """Mean ± standard deviation over seeds of every policy's figures on its held-out questions."""
    columns = ["policy", "accuracy", "visits", "visit cost", "with its index", "index shared", "grounding"]
    rows = []
    for name in in_order(summaries[0]["policies"]):
        every = [summary["policies"][name] for summary in summaries]
        rows.append([name, *(spread([row.get(key) for row in every], digits) for key, digits in DIGITS.items())])
    return table(columns, rows)


def claims_table(summaries: Sequence[Mapping[str, Any]]) -> str:
    """Per seed: SFT against the expert, GRPO against SFT, and the wall time of each stage."""
    columns = ["seed", "SFT accuracy / expert's", "GRPO - SFT accuracy", "visits SFT → GRPO", "change"]
    rows = []
    for summary in summaries:
        sft, grpo, expert = (summary["policies"][name] for name in ("sft", "grpo", "expert"))
        stages = summary["stage_seconds"]
        minutes = [seconds / 60 for seconds in (stages["sft"], stages["grpo"], summary["seconds"])]
        rows.append(
            [
                str(summary["seed"]),
                f"{sft['accuracy'] / expert['accuracy']:.3f}",
                f"{grpo['accuracy'] - sft['accuracy']:+.3f}",
                f"{sft['visits']:.2f} → {grpo['visits']:.2f}",
                f"{grpo['visits'] / sft['visits'] - 1:+.0%}",
                ", ".join(f"{each:.1f}" for each in minutes)
                + " min"
                + (" and what was killed" if summary.get("restarted") else ""),
            ]
        )
    return table([*columns, "SFT, GRPO, in all"], rows)


def curves(folders: Sequence[Path], seeds: Sequence[int], path: Path) -> None:
    """Accuracy, visits and reward of the training episodes, a line a seed."""
    shown = {"accuracy": "share of right answers", "visits": "visits an episode", "reward": "mean reward"}
    with panels(3, path, height=3.2) as every:
        for axes, (key, title) in zip(every, shown.items(), strict=True):
            for number, (seed, folder) in enumerate(zip(seeds, folders, strict=True)):
                rows = training_rows(folder / "grpo")
                axes.plot(
                    [row["step"] for row in rows],
                    [row[key] for row in rows],
                    color=SERIES[number],
                    label=f"seed {seed}",
                )
            axes.set(title=title, xlabel="GRPO step")
            axes.set_ylim(bottom=0, top=1.02 if key == "accuracy" else None)
        every[0].legend(loc="lower right")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--figure", type=Path, default=FIGURE)
    options = parser.parse_args()
    summaries = [json.loads((folder / "summary.json").read_text(encoding="utf-8")) for folder in options.folders]
    policies, claims = policies_table(summaries), claims_table(summaries)
    replace_block(options.page, "demo_policies", policies)
    replace_block(options.page, "demo_claims", claims)
    curves(options.folders, [summary["seed"] for summary in summaries], options.figure)
    print(policies, claims, f"{options.page}\n{options.figure}", sep="\n")


if __name__ == "__main__":
    main()
