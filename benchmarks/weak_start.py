"""GRPO from a policy whose SFT is weak, over several seeds: how much more is right on held-out questions.

    make demo
    make sft SFT_CONFIG=configs/sft/tiny_weak_cpu.yaml
    python -m benchmarks.weak_start

and on questions in words, which a scripted judge decides where rules cannot, each verdict after 50 ms:

    make traces ARGS=--open OUT=runs/open/traces
    clipscout tiny-base --data runs/open/traces --out runs/open/base
    make sft SFT_CONFIG=configs/sft/tiny_weak_cpu.yaml DATA=runs/open/traces MODEL=runs/open/base OUT=runs/open/sft \
        ARGS="--max_steps 120 --eval_strategy no"
    python -m benchmarks.weak_start --traces runs/open/traces --start runs/open/sft --out runs/open/weak_start \
        --judge-latency 0.05

Every stage is the command a user would type: `trainer.grpo` on `configs/grpo/tiny_weak_cpu.yaml`, once a seed, and
`clipscout eval` of the start and of every end on the same questions, in words under rules alone. What is done is not
done again, and a killed run goes on from its checkpoint.
"""

import argparse
import asyncio
import json
import re
from collections.abc import Mapping
from pathlib import Path
from queue import SimpleQueue
from statistics import fmean
from threading import Thread
from typing import Any

import yaml

from benchmarks.training_runs import evaluate, panels, table, train, training_rows
from data_gen.corpora.small_world import COLOURS
from evaluation.style import INK, SERIES
from navigation import write_atomic
from runtime.testing.chat_server import Answer, ChatServer

CONFIG = Path("configs/grpo/tiny_weak_cpu.yaml")
EVALUATION: dict[str, Any] = {"limit": 400, "episode_tokens": 384}
SMOOTH = 5
"""Steps whose mean a curve shows."""
JUDGE_PORT = 8971
"""Always the same, so that a run that was killed finds the judge of its config again."""


async def colour_judge(request: dict[str, Any], body: bytes) -> Answer:
    """The verdict of a judge who reads: right where an answer names the reference's colour and no other."""
    blocks = re.findall(r"<(answer|references) [0-9a-f]{8}>\n(.*)\n</", request["messages"][0]["content"])
    texts = {name: json.loads(text) for name, text in blocks}
    right = set(re.findall(r"\w+", texts["answer"].lower())) & set(COLOURS) == set(texts["references"])
    verdict = {"reason": "its colours", "verdict": "right" if right else "wrong", "share": float(right)}
    return Answer(json.dumps(verdict), {"prompt_tokens": 300, "completion_tokens": 20})


def judged_config(latency: float, path: Path) -> Path:
    """Starts the scripted judge and writes the config of GRPO under it."""
    started = SimpleQueue[str]()

    async def serve() -> None:
        started.put(await ChatServer(colour_judge, latency).start(JUDGE_PORT))
        await asyncio.Event().wait()

    Thread(target=lambda: asyncio.run(serve()), daemon=True).start()
    config = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    config["judge"] = {"url": started.get(), "model": "scripted"}
    write_atomic(path, yaml.safe_dump(config, sort_keys=False))
    return path


def judge_facts(folder: Path) -> str:
    """Which share of its steps' time a run spent on verdicts, and of its answers in words went to the judge."""
    rows = [row for row in training_rows(folder) if "time/judge" in row]
    if not rows:
        return ""
    share = sum(row["time/judge"] for row in rows) / sum(row["step_time"] for row in rows)
    most = max(row["judge/share_of_step"] for row in rows)
    asked = fmean(row["judge/asked"] for row in rows if "judge/asked" in row)
    return (
        f"verdicts took {100 * share:.2f} % of the steps' time, at most {100 * most:.2f} % of one; {asked:.3f} of the "
        "answers went to the judge"
    )


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
    parser.add_argument("--judge-latency", type=float, help="train under a scripted judge that takes so many seconds")
    options = parser.parse_args()
    config = CONFIG
    if options.judge_latency is not None:
        config = judged_config(options.judge_latency, options.out / "grpo.yaml")
    start = evaluate(options.start, options.traces, options.out / "eval" / "start", **EVALUATION)
    print(f"the start: accuracy {start['accuracy']:.3f}, {start['visits']:.2f} visits", flush=True)
    runs, ends = {}, {}
    for seed in range(options.seeds):
        name = f"grpo-{seed}"
        folder = options.out / name
        runs[seed] = train(config, folder, data=options.traces, model_name_or_path=options.start, seed=seed)
        ends[seed] = evaluate(folder, options.traces, options.out / "eval" / name, **EVALUATION)
        found = markdown(start, ends)
        write_atomic(options.out / "table.md", found)
        figure(runs, start, ends, options.figure or options.out / "weak_start.png")
        print(found, flush=True)
        if told := judge_facts(folder):
            print(f"seed {seed}: {told}", flush=True)


if __name__ == "__main__":
    main()
