"""What a pretrained language model costs on this machine's CPU: training steps beside plain trl's, memory, playing.

    make bench-lm MODEL=runs/smollm2 DATA=runs/goalstep               # SFT and GRPO steps
    python -m benchmarks.lm memory --model … --data …                 # resident memory over 200 rows of mixed lengths
    python -m benchmarks.lm play --model … --data … --episodes 10     # episodes a minute, and prompts that were kept

Times are CPU-seconds of this process on one thread; both variants of a step train on the same rows or episodes.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer, ModelConfig, SFTConfig, SFTTrainer

from benchmarks.grpo import PLAYED, SILENT, Clock, force, script
from benchmarks.measure import in_process
from navigation import DEFAULT_TOOLS, EnvironmentFactory, Limits, read_tools, run
from rewards import RewardMix
from rewards.trl_functions import trl_functions
from trainer.checkpoint import load_model, load_tokenizer
from trainer.cpu import computes_bf16
from trainer.data import TracesFolder
from trainer.grpo_trainer import NavigationGRPOTrainer
from trainer.local_policy import LocalPolicy
from trainer.run import quiet_unless_watched
from trainer.sft_trainer import NavigationSFTTrainer
from trainer.supervision import supervise

TURNS = 4
SAID = 45
"""Tokens that the policy says in a turn of a step that is measured, about as many as the expert's."""


def trajectories(options: argparse.Namespace, count: int) -> Dataset:
    """Rows of `input_ids` and `labels`, evenly from the whole set: a corpus lists a video's together."""
    given = TracesFolder(options.data, tools=read_tools(options.tools)).sft_dataset(held=False)
    chosen = given.select([number * len(given) // count for number in range(count)])
    return supervise(chosen, load_tokenizer(options.model))[0]


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * 4096 / 2**20


def common(folder: str) -> dict[str, Any]:
    return {"output_dir": folder, "use_cpu": True, "bf16": computes_bf16(), "gradient_checkpointing": False, **SILENT}


def sft_step(options: argparse.Namespace) -> dict[str, float]:
    """CPU-seconds of one optimizer step on `rows` trajectories, one or `batch` at a time."""
    with tempfile.TemporaryDirectory() as folder:
        clock = Clock()
        trainer = (NavigationSFTTrainer if options.ours else SFTTrainer)(
            model=load_model(ModelConfig(model_name_or_path=options.model, dtype="float32")),
            args=SFTConfig(
                **common(folder),
                per_device_train_batch_size=options.batch,
                gradient_accumulation_steps=options.rows // options.batch,
                max_steps=2,
                max_length=None,
                seed=options.seed,
            ),
            train_dataset=trajectories(options, 2 * options.rows),
            processing_class=load_tokenizer(options.model),
            callbacks=[clock],
        )
        trainer.train()
    return {"step": clock.steps[-1]}


def grpo_step(options: argparse.Namespace) -> dict[str, float]:
    """CPU-seconds of one step of `episodes` episodes with the corpus' prompts, all of which say the same."""
    tools = read_tools(options.tools)
    traces, tokenizer = TracesFolder(options.data, tools=tools), load_tokenizer(options.model)
    functions, weights = trl_functions(RewardMix.from_config(None), turns=TURNS + 1, tokens=1024)
    with tempfile.TemporaryDirectory() as folder:
        clock = Clock()
        trainer = (NavigationGRPOTrainer if options.ours else GRPOTrainer)(
            model=load_model(ModelConfig(model_name_or_path=options.model, dtype="float32")),
            args=GRPOConfig(
                **{**PLAYED, **common(folder)},
                per_device_train_batch_size=4,
                gradient_accumulation_steps=options.episodes // 4,
                max_completion_length=1024,
                max_steps=1,
                seed=options.seed,
                reward_weights=weights,
            ),
            train_dataset=traces.rl_dataset(held=False).select(range(64)),
            reward_funcs=[*functions],
            processing_class=tokenizer,
            environment_factory=EnvironmentFactory(traces.trees, tools=tools),
            callbacks=[clock],
        )
        force(trainer, script(tokenizer, TURNS, SAID))
        clock.watch(trainer)
        trainer.train()
    return {"step": clock.steps[-1], "rollouts": clock.rollouts[-1]}


def memory_over_rows(options: argparse.Namespace) -> dict[str, Any]:
    """Resident memory in MB after every tenth of `steps` steps of one row, of 300 to 2,500 tokens each."""
    chance = torch.Generator().manual_seed(options.seed)
    lengths = torch.randint(300, 2500, (options.steps,), generator=chance).tolist()
    # One token in six is learned, as of trajectories.
    learned = [each // 6 for each in lengths]
    rows = Dataset.from_list(
        [
            {"input_ids": [7] * each, "labels": [-100] * (each - last) + [7] * last}
            for each, last in zip(lengths, learned, strict=True)
        ]
    )
    seen: list[float] = []

    class Watched(NavigationSFTTrainer):
        def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
            loss = super().training_step(*args, **kwargs)
            seen.append(resident_mb())
            return loss

    with tempfile.TemporaryDirectory() as folder:
        Watched(
            model=load_model(ModelConfig(model_name_or_path=options.model, dtype="float32")),
            args=SFTConfig(**common(folder), per_device_train_batch_size=1, max_steps=options.steps, max_length=None),
            train_dataset=rows,
            processing_class=load_tokenizer(options.model),
            longest_first=True,
        ).train()
    tenth = max(1, options.steps // 10)
    return {"resident_mb": [round(each) for each in seen[tenth - 1 :: tenth]]}


def play(options: argparse.Namespace) -> dict[str, Any]:
    """Episodes of held-out questions, several of each video, all asked at once."""
    traces = TracesFolder(options.data)
    questions = traces.questions(held=True)[: options.episodes]
    policy = LocalPolicy(options.model, temperature=0.0, max_completion_tokens=2048, max_turn_tokens=128)

    async def all_of_them() -> list[Any]:
        factory = EnvironmentFactory(traces.trees, tools=policy.trained_tools or DEFAULT_TOOLS)
        limits = Limits(turns=10)
        return await asyncio.gather(*[run(policy, factory(), question, limits) for question in questions])

    begun, used = time.monotonic(), time.process_time()
    episodes = asyncio.run(all_of_them())
    seconds, cpu, counts = time.monotonic() - begun, time.process_time() - used, policy.batch.counts
    return {
        "episodes": len(episodes),
        "episodes_a_minute": round(60 * len(episodes) / seconds, 2),
        "cpu_s_an_episode": round(cpu / len(episodes), 2),
        "answered": sum(episode.status == "answered" for episode in episodes),
        "prompt_tokens": counts.prompts,
        "prompt_share_kept": round(counts.prompts_kept / counts.prompts, 3),
        "share_kept_of_all": round(counts.all_kept / counts.all, 3),
        "videos": len({question.video_id for question in questions}),
        "resident_mb": round(resident_mb()),
    }


SHARED = ("model", "data", "tools", "rows", "batch", "episodes", "seed")
"""Options that the process of a variant gets too."""
PARTS = {"sft": sft_step, "grpo": grpo_step, "memory": memory_over_rows, "play": play}


def compare(part: str, options: argparse.Namespace) -> float:
    """Prints and returns ours against plain trl's, each in a process of its own; the median of `repeats`."""
    given = [f"--{name}={getattr(options, name)}" for name in SHARED]
    steps = []
    for ours in (False, True):
        more = ["--ours"] if ours else []
        runs = [in_process("benchmarks.lm", part, *given, *more) for _ in range(options.repeats)]
        steps.append(statistics.median(each["step"] for each in runs))
        name = "clipscout" if ours else "plain trl"
        print(f"{part:<6}{name:<12}{steps[-1]:>9.1f} CPU-s a step{runs[0]['peak_mb']:>10,.0f} MB at most", flush=True)
    print(f"{part:<6}{'ratio':<12}{steps[1] / steps[0]:>9.2f}", flush=True)
    return steps[1] / steps[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=PARTS, help="default: sft and grpo, ours beside plain trl")
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder of `make traces`")
    parser.add_argument("--tools", default=",".join(DEFAULT_TOOLS), help="what the trajectories were played with")
    parser.add_argument("--rows", type=int, default=8, help="trajectories of an SFT step")
    parser.add_argument("--batch", type=int, default=1, help="of them at a time")
    parser.add_argument("--episodes", type=int, default=32, help="of a GRPO step, or to play")
    parser.add_argument("--steps", type=int, default=200, help="of memory")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ours", action="store_true")
    options = parser.parse_args()
    quiet_unless_watched()
    torch.set_num_threads(1)
    if options.part is not None:
        print(json.dumps(PARTS[options.part](options)))
        return
    for part in ("sft", "grpo"):
        compare(part, options)


if __name__ == "__main__":
    main()
