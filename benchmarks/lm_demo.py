"""A pretrained language model learns to navigate real videos: base, SFT and GRPO beside the rules, in one command.

    make demo-lm MODEL=runs/smollm2 DATA=../shared/data/ego4d_goalstep
    python -m benchmarks.lm_demo --model … --data … --sft-steps 40 --questions 40     # a smaller one
    python -m benchmarks.lm_demo --model … --data … --tools get_caption,video_qa,search    # of agents that search

Each stage is a command of `clipscout`. One that finished is not run again; a training that was stopped goes on from its
last checkpoint, an evaluation from its last episode. How long it will take is said first, from one measured step.
"""

import argparse
import hashlib
import math
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
import yaml

from clipscout.demo_stages import CONSOLE, Stages, same_settings
from clipscout.training import training_command
from navigation import read_questions, read_tools, write_jsonl
from navigation.question import first_by_hash, held_out
from trainer.checkpoint import load_tokenizer
from trainer.cpu import computes_bf16
from trainer.data import TracesFolder
from trainer.supervision import encode

RULES = ("random", "uniform", "retrieval", "best_first", "expert")
SEARCHING = ("search_read", "hierarchy_search")
MODELS = ("base", "sft", "grpo")
CLIPSCOUT = (sys.executable, "-m", "clipscout.main")
OF_A_STEP = 0.75
"""CPU-seconds of playing a token, against learning it: prefilled in pieces and said one by one, of a row of a step."""


def hours(options: argparse.Namespace, traces: Path, grpo: dict[str, Any]) -> str:
    """What the trainings and the models' evaluations will take, in words, from one trajectory learned here."""
    from transformers import AutoModelForCausalLM
    from trl.trainer.utils import add_fused_lm_head

    from trainer.cpu import score_supervised_alone

    folder = TracesFolder(traces, options.held_out_share, tools=read_tools(options.tools, "command line"))
    row = next(iter(folder.sft_dataset(held=False)))
    encoded = encode(row, load_tokenizer(options.model))
    model = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32).train()
    add_fused_lm_head(model)
    score_supervised_alone()
    ids, labels = (torch.tensor([encoded[name]]) for name in ("input_ids", "labels"))  # [1, tokens]
    begun = time.process_time()
    with torch.autocast("cpu", torch.bfloat16, enabled=computes_bf16()):
        loss = model(input_ids=ids, labels=labels, fused_lm_head=True).loss
    loss.backward()
    one = time.process_time() - begun
    episodes = options.grpo_steps * grpo["per_device_train_batch_size"] * grpo["gradient_accumulation_steps"]
    # Held-out questions are played before the first step, every so many, and after the last.
    held_out_plays = grpo["held_out_questions"] * (1 + math.ceil(options.grpo_steps / grpo["eval_steps"]))
    parts = {
        "SFT": 8 * options.sft_steps * one,
        "GRPO": (episodes * (1 + OF_A_STEP) + held_out_plays * OF_A_STEP) * one,
        "playing": len(MODELS) * options.questions * one * OF_A_STEP,
    }
    listed = ", ".join(f"{name} {seconds / 3600:.1f}" for name, seconds in parts.items())
    return f"about {sum(parts.values()) / 3600:.1f} hours of one core: {listed}"


def evaluation(options: argparse.Namespace, asked: Path, trees: Path, name: str) -> tuple[str, list[str]]:
    """The stage that plays one policy on the held-out questions."""
    out = options.out / "eval" / name
    more = ["--policy", name, "--visits", "4"] if name in (*RULES[:4], *SEARCHING) else ["--policy", name]
    if name in MODELS:
        model = options.model if name == "base" else str(options.out / name)
        more = ["--policy", "local", "--model", model, "--name", name, "--temperature", "0"]
        more += ["--episode-tokens", "2048", "--turn-tokens", "128", "--turns", "10"]
    given = ["--data", str(asked), "--trees", str(trees), "--seed", str(options.seed), "--out", str(out)]
    given += ["--tools", options.tools]
    return f"evaluate {name}", [*CLIPSCOUT, "eval", *given, *more]


def training(options: argparse.Namespace, stage: str, traces: Path, start: str, steps: int) -> list[str]:
    more = ["--max_steps", str(steps), "--held_out_share", str(options.held_out_share), "--tools", options.tools]
    out = options.out / stage
    return training_command(
        stage, options.configs / stage / options.preset, more=more, data=traces, model=start, out=out, seed=options.seed
    )


def run_demo(options: argparse.Namespace) -> None:
    options.out.mkdir(parents=True, exist_ok=True)
    presets = [options.configs / stage / options.preset for stage in ("sft", "grpo")]
    hashes = {path.parent.name: hashlib.sha256(path.read_bytes()).hexdigest()[:12] for path in presets}
    asked_for = {name: str(value) for name, value in vars(options).items() if name not in ("out", "configs")}
    same_settings(options.out, {**asked_for, "configs": hashes})
    traces, asked = options.out / "traces", options.out / "held_out"
    grpo = yaml.safe_load((options.configs / "grpo" / options.preset).read_text(encoding="utf-8"))
    corpus = [
        "--corpus",
        options.corpus,
        "--data",
        str(options.data),
        "--out",
        str(traces),
        "--seed",
        str(options.seed),
        "--tools",
        options.tools,
    ]
    rules = (*RULES, *(SEARCHING if "search" in options.tools.split(",") else ()))
    with Stages(options.out, 4 + len(rules) + len(MODELS)) as stages:
        stages.run("trajectories", [*CLIPSCOUT, "traces", *corpus])
        held = [
            question
            for question in read_questions(traces / "questions.jsonl")
            if held_out(question.video_id, options.held_out_share)
        ]
        # GRPO chooses its policy by some of them; the players answer others, an even pick in an order of their own.
        choosing = set(first_by_hash([question.id for question in held], grpo["held_out_questions"]))
        others = [question for place, question in enumerate(held) if place not in choosing]
        chosen = {others[place].id for place in first_by_hash([each.id for each in others], options.questions)}
        write_jsonl(asked / "questions.jsonl", (each.to_dict() for each in others if each.id in chosen))
        # What a step allocates goes back with its process alone: SmolLM2's 2.5 GB would be missing from here on.
        with ProcessPoolExecutor(1, get_context("spawn")) as alone:
            CONSOLE.print(alone.submit(hours, options, traces, grpo).result(), highlight=False)
        for name in (*rules, "base"):
            stages.beside(*evaluation(options, asked, traces / "trees", name))
        stages.run("sft", training(options, "sft", traces, options.model, options.sft_steps))
        stages.beside(*evaluation(options, asked, traces / "trees", "sft"))
        stages.run("grpo", training(options, "grpo", traces, str(options.out / "sft"), options.grpo_steps))
        stages.run(*evaluation(options, asked, traces / "trees", "grpo"))
        stages.join()
        results = [str(options.out / "eval" / name) for name in ("sft", "grpo", "base", *rules)]
        title = f"{Path(options.model).name} on {options.corpus}"
        compare = [*CLIPSCOUT, "compare", *results, "--out", str(options.out / "compare"), "--title", title]
        stages.run("compare", compare)
    CONSOLE.print(f"{options.out / 'compare' / 'compare.html'}\nclipscout view --data {options.out / 'eval' / 'grpo'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="folder or Hub name of a pretrained model")
    parser.add_argument("--data", type=Path, required=True, help="folder of the corpus as downloaded")
    parser.add_argument("--corpus", default="goalstep")
    parser.add_argument("--tools", default="get_caption,video_qa", help="that an episode has, search and jump beside")
    parser.add_argument("--preset", default="smollm2_135m_cpu.yaml", help="of configs/sft and configs/grpo")
    parser.add_argument("--configs", type=Path, default=Path("configs"))
    parser.add_argument("--out", type=Path, default=Path("runs/demo_lm"))
    parser.add_argument("--sft-steps", type=int, default=190, help="of 8 trajectories")
    parser.add_argument("--grpo-steps", type=int, default=60)
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--held-out-share", type=float, default=0.2)
    parser.add_argument("--seed", type=int, default=0)
    run_demo(parser.parse_args())


if __name__ == "__main__":
    main()
