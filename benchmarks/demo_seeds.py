"""What the demo reaches over several seeds: a table and curves for `docs/demo.md`, from finished runs' files alone.

make demo; make demo ARGS="--seed 1 --out runs/demo-1"; make demo ARGS="--seed 2 --out runs/demo-2"
python -m benchmarks.demo_seeds runs/demo runs/demo-1 runs/demo-2
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from evaluation.style import INK, LINE, MUTED, SERIES, in_order, replace_block
from trainer.recorder import read_metrics

PAGE, FIGURE = Path("docs/demo.md"), Path("docs/images/demo_seeds.png")


def policies_table(summaries: Sequence[Mapping[str, Any]]) -> str:
    """Mean ± standard deviation over seeds of every policy's figures on its held-out questions."""
    lines = [
        "| policy | accuracy | visits | visit cost | with its index | index shared | grounding |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in in_order(summaries[0]["policies"]):
        rows = [summary["policies"][name] for summary in summaries]
        cells = [
            spread([row.get(key) for row in rows], digits)
            for key, digits in (
                ("accuracy", 3),
                ("visits", 2),
                ("visit_cost", 2),
                ("visit_cost_with_index", 1),
                ("visit_cost_with_shared_index", 1),
                ("grounding", 3),
            )
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def claims_table(summaries: Sequence[Mapping[str, Any]]) -> str:
    """Per seed: SFT against the expert, GRPO against SFT, and the wall time of each stage."""
    lines = [
        "| seed | SFT accuracy / expert's | GRPO - SFT accuracy | visits SFT → GRPO | change | SFT, GRPO, in all |",
        "|---|---|---|---|---|---|",
    ]
    for summary in summaries:
        sft, grpo, expert = (summary["policies"][name] for name in ("sft", "grpo", "expert"))
        seconds = summary["stage_seconds"]
        lines.append(
            f"| {summary['seed']} | {sft['accuracy'] / expert['accuracy']:.3f} "
            f"| {grpo['accuracy'] - sft['accuracy']:+.3f} | {sft['visits']:.2f} → {grpo['visits']:.2f} "
            f"| {grpo['visits'] / sft['visits'] - 1:+.0%} "
            f"| {seconds['sft'] / 60:.1f}, {seconds['grpo'] / 60:.1f}, {summary['seconds'] / 60:.1f} min"
            f"{' and what was killed' if summary.get('restarted') else ''} |"
        )
    return "\n".join(lines)


def spread(values: Sequence[float | None], digits: int) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return ""
    deviation = f" ± {stdev(known):.{digits}f}" if len(known) > 1 else ""
    return f"{fmean(known):.{digits}f}{deviation}"


def curves(folders: Sequence[Path], path: Path) -> None:
    """Accuracy, visits and reward of the training episodes, a line a seed."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    panels = (("accuracy", "share of right answers"), ("visits", "visits an episode"), ("reward", "mean reward"))
    figure, every = plt.subplots(1, 3, figsize=(11, 3.2), constrained_layout=True)
    for number, folder in enumerate(folders):
        rows = [row for row in read_metrics(folder / "grpo" / "metrics.jsonl") if "visits" in row]
        for axes, (key, _) in zip(every, panels, strict=True):
            axes.plot(
                [row["step"] for row in rows],
                [row[key] for row in rows],
                color=SERIES[number],
                linewidth=1.4,
                label=f"seed {json.loads((folder / 'summary.json').read_text())['seed']}",
            )
    for axes, (key, label) in zip(every, panels, strict=True):
        axes.set_title(label, fontsize=10, color=INK, loc="left")
        axes.set_xlabel("GRPO step", color=MUTED, fontsize=9)
        axes.grid(color=LINE, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_ylim(bottom=0, top=1.02 if key == "accuracy" else None)
    every[0].legend(fontsize=8, frameon=False, loc="lower right")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130, metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--figure", type=Path, default=FIGURE)
    options = parser.parse_args()
    summaries = [json.loads((folder / "summary.json").read_text(encoding="utf-8")) for folder in options.folders]
    replace_block(options.page, "demo_policies", policies_table(summaries))
    replace_block(options.page, "demo_claims", claims_table(summaries))
    curves(options.folders, options.figure)
    print(policies_table(summaries), claims_table(summaries), f"{options.page}\n{options.figure}", sep="\n\n")


if __name__ == "__main__":
    main()
