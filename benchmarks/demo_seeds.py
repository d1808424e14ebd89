"""What the demo reaches over several seeds and ways of rounding: tables and curves of `docs/results/demo_seeds.md`.

From finished runs:

    make demo; make demo ARGS="--seed 1 --out runs/demo-1"; make demo ARGS="--seed 2 --out runs/demo-2"
    python -m benchmarks.demo_seeds page runs/demo runs/demo-1 runs/demo-2

The demo's two trainings and their evaluations, once for each seed and way of rounding:

    python -m benchmarks.demo_seeds rounding --seeds 0 1 2 [--ways avx2 "two threads"] [--out runs/demo_rounding]

What is done is not done again, and a killed training goes on from its checkpoint. Sums of floats depend on the
processor's instructions, on threads and on how a step is split: a recipe that holds on one machine
alone holds by chance.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml

from benchmarks.training_runs import evaluate, once, panels, spread, table, train, training_rows
from clipscout.demo import PLAYERS, held_out_questions
from evaluation.style import SERIES, in_order, replace_block
from navigation import InputError, write_atomic, write_jsonl

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


@dataclass(frozen=True, slots=True)
class Way:
    """A way of rounding.

    Args:
        environment: Variables of every process.
        batches: In how many parts a training step is computed; 0: in those of its config.
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    batches: int = 0


LEVELS = ("default", "avx2", "avx512")
"""Instruction sets that torch's kernels are compiled for, as `ATEN_CPU_CAPABILITY` names them, rising."""
WAYS = {
    **{level: Way({"ATEN_CPU_CAPABILITY": level}) for level in LEVELS},
    "two threads": Way({"OMP_NUM_THREADS": "2"}),
    "two batches": Way(batches=2),
}
TINY: dict[str, Any] = {
    "traces": {"limit": 64},
    "sft": {"max_steps": 2, "save_steps": 2, "eval_strategy": "no", "warmup_steps": 0, "lr_scheduler_type": "constant"},
    "grpo": {"max_steps": 2, "eval_steps": 1, "held_out_questions": 4, "max_completion_length": 64},
    "eval": {"limit": 4, "episode_tokens": 64},
}
"""Flags that make a run small enough for a test: it shows that everything starts, and nothing else."""


def available_ways() -> list[str]:
    """Names of the ways that this machine has."""
    level = torch.backends.cpu.get_cpu_capability().lower()
    highest = LEVELS.index(level) if level in LEVELS else 0
    return [name for name in WAYS if name not in LEVELS or LEVELS.index(name) <= highest]


def rounding_run(seed: int, name: str, out: Path, tiny: bool = False) -> dict[str, Any]:
    """Both trainings of the demo and an evaluation of each, as far as they are not done; what the table says of them.

    Args:
        name: Of the way.
        out: Folder of all runs; the world of a seed is made once, for all ways.
        tiny: A run that shows nothing but that it runs.
    """
    more: Mapping[str, Mapping[str, Any]] = TINY if tiny else {key: {} for key in TINY}
    world, folder, way = out / f"seed-{seed}", out / f"seed-{seed}" / name.replace(" ", "-"), WAYS[name]
    demo = yaml.safe_load(Path("configs/demo.yaml").read_text(encoding="utf-8"))
    traces, base, asked = world / "traces", world / "base", world / "held_out"
    limit = [text for key, value in more["traces"].items() for text in (f"--{key}", str(value))]
    once(traces, [
        "clipscout.main", "traces", "--corpus", "small_world", "--out", str(traces), "--seed", str(seed),
        "--wander", str(demo["wander"]), *limit,
    ])  # fmt: skip
    once(base, [
        "clipscout.main", "tiny-base", "--config", "configs/model/tiny.yaml", "--data", str(traces),
        "--out", str(base), "--seed", str(seed),
    ])  # fmt: skip
    write_jsonl(asked / "questions.jsonl", (question.to_dict() for question in held_out_questions(traces)))
    environment = {"OMP_NUM_THREADS": "1", **way.environment}
    found: dict[str, Any] = {"seed": seed, "way": name}
    start = base
    for stage in ("sft", "grpo"):
        config = Path(f"configs/{stage}/tiny_cpu.yaml")
        given = yaml.safe_load(config.read_text(encoding="utf-8"))
        step = given["per_device_train_batch_size"] * given.get("gradient_accumulation_steps", 1)
        parts = way.batches or given.get("gradient_accumulation_steps", 1)
        split = {"per_device_train_batch_size": step // parts, "gradient_accumulation_steps": parts}
        options = {"data": traces, "model_name_or_path": start, "seed": seed, **split, **more[stage]}
        start = train(config, folder / stage, stage, environment, **options)
        tokens = {key.replace("-", "_"): value for key, value in PLAYERS[stage].items() if key.endswith("tokens")}
        played = {"trees": traces / "trees", "seed": seed, **tokens, **more["eval"]}
        found[stage] = evaluate(start, asked, folder / "eval" / stage, environment, "0", **played)
    record = json.loads((folder / "grpo" / "clipscout.json").read_text(encoding="utf-8"))
    return {**found, "step": record["step"], "steps": record.get("steps", record["step"])}


def holds(run: Mapping[str, Any]) -> bool:
    """Whether GRPO took 30 % of the visits away and is as accurate as the lower end of SFT's interval."""
    sft, grpo = run["sft"], run["grpo"]
    return grpo["visits"] <= 0.7 * sft["visits"] and grpo["accuracy"] >= sft["accuracy_ci"][0]


def rounding_table(runs: Sequence[Mapping[str, Any]]) -> str:
    """One row a seed and way of rounding; accuracies with 95 % intervals."""
    rows = []
    for run in runs:
        sft, grpo = run["sft"], run["grpo"]
        accuracies = (
            "{accuracy:.3f} ({accuracy_ci[0]:.3f}–{accuracy_ci[1]:.3f})".format(**each) for each in (sft, grpo)
        )
        change = f"{grpo['visits'] / sft['visits'] - 1:+.0%}" if sft["visits"] else ""
        rows.append(
            [
                str(run["seed"]),
                run["way"],
                *accuracies,
                f"{sft['visits']:.2f} → {grpo['visits']:.2f}",
                change,
                f"{run['step']} of {run['steps']}",
                "yes" if holds(run) else "**no**",
            ]
        )
    columns = ["seed", "rounding", "SFT accuracy", "GRPO accuracy", "visits", "change", "step kept", "holds"]
    return table(columns, rows)


def rounding(seeds: Sequence[int], ways: Sequence[str], out: Path, page: Path | None, tiny: bool = False) -> str:
    """Runs what is missing, way by way of each seed, and writes the table after each; returns it."""
    unknown = next((name for name in ways if name not in available_ways()), None)
    if unknown is not None:
        raise InputError("command line", "--ways", unknown, f"give some of {', '.join(available_ways())}")
    runs, found = [], ""
    for seed in seeds:
        for name in ways:
            runs.append(rounding_run(seed, name, out, tiny))
            found = rounding_table(runs)
            write_atomic(out / "table.md", found)
            if page is not None:
                replace_block(page, "demo_rounding", found)
            print(found, flush=True)
    return found


def page_of(folders: Sequence[Path], page: Path, figure: Path) -> None:
    """Writes the page's tables and figure from finished demos."""
    summaries = [json.loads((folder / "summary.json").read_text(encoding="utf-8")) for folder in folders]
    policies, claims = policies_table(summaries), claims_table(summaries)
    replace_block(page, "demo_policies", policies)
    replace_block(page, "demo_claims", claims)
    curves(folders, [summary["seed"] for summary in summaries], figure)
    print(policies, claims, f"{page}\n{figure}", sep="\n")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    finished = commands.add_parser("page", help="tables and figure from finished demos")
    finished.add_argument("folders", nargs="+", type=Path)
    finished.add_argument("--page", type=Path, default=PAGE)
    finished.add_argument("--figure", type=Path, default=FIGURE)
    running = commands.add_parser("rounding", help="run both trainings over seeds and ways of rounding")
    running.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    running.add_argument("--ways", nargs="+", default=available_ways(), help=f"of {', '.join(WAYS)}; default: all here")
    running.add_argument("--out", type=Path, default=Path("runs/demo_rounding"))
    running.add_argument("--page", type=Path, help="page whose table is written; default: only OUT/table.md")
    running.add_argument("--tiny", action="store_true", help="a few steps each, to see that it runs")
    options = parser.parse_args(arguments)
    if options.command == "page":
        page_of(options.folders, options.page, options.figure)
    else:
        rounding(options.seeds, options.ways, options.out, options.page, options.tiny)


if __name__ == "__main__":
    main()
