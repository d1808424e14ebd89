"""CPU-seconds of a GRPO step and its parts: ours beside plain trl, in one process, on the same episodes.

    make bench-grpo     # 64 episodes, 4 tool turns, 541-token prompts, 1 M parameters
    python -m benchmarks.grpo --run runs/qwen3_8b_grpo  # rollout tokens/s and shares of time of any run

Every token is sampled from the model and then replaced by a script's, so that both variants make the same episodes
whatever they would have said. Both generate on transformers. The first step of each is not counted.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import LogitsProcessor, LogitsProcessorList, Qwen3Config, Qwen3ForCausalLM, TrainerCallback
from trl import GRPOConfig, GRPOTrainer, ModelConfig

from data_gen.traces import write_traces
from navigation import TOOLS, EnvironmentFactory
from rewards import RewardMix
from rewards.trl_functions import trl_functions
from trainer.checkpoint import load_model, load_tokenizer
from trainer.data import TracesFolder
from trainer.grpo_trainer import NavigationGRPOTrainer
from trainer.recorder import read_metrics
from trainer.tiny_base import corpus_texts, train_tokenizer

MODEL: dict[str, Any] = {
    "hidden_size": 128,
    "intermediate_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "tie_word_embeddings": True,
    "max_position_embeddings": 2048,
}
TURNS = 4
SILENT: dict[str, Any] = {"report_to": "none", "disable_tqdm": True, "logging_strategy": "no", "save_strategy": "no"}
"""Options of a run that is only timed."""
PLAYED: dict[str, Any] = {
    **SILENT,
    "num_generations": 8,
    "max_tool_calling_iterations": TURNS,
    "beta": 0.0,
    "loss_type": "dr_grpo",
    "scale_rewards": "none",
}


def random_base(traces: Path, output: str) -> int:
    """A random model that knows the words of `traces`; its number of parameters."""
    tokenizer = train_tokenizer(corpus_texts(traces))
    torch.manual_seed(0)
    ends: dict[str, Any] = {
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    model = Qwen3ForCausalLM(Qwen3Config(vocab_size=len(tokenizer), **ends, **MODEL))
    model.generation_config.update(do_sample=True, temperature=1.0, top_k=0, top_p=1.0)
    model.save_pretrained(output)
    tokenizer.save_pretrained(output)
    return model.num_parameters()


def script(tokenizer: Any, tool_turns: int, length: int) -> list[list[int]]:
    """Token ids of an episode's turns: calls, then the answer, padded with thoughts to `length` tokens if shorter."""
    turns = []
    for turn in range(tool_turns + 1):
        call = f'<tool_call>\n{{"name": "get_caption", "arguments": {{"segment": [{turn % 4 + 1}, 2]}}}}\n</tool_call>'
        said = call if turn < tool_turns else "<answer>A</answer>"
        tail = tokenizer(f"\n</think>\n\n{said}<|im_end|>", add_special_tokens=False)["input_ids"]
        thought = tokenizer("<think>\n" + " the" * length, add_special_tokens=False)["input_ids"]
        turns.append(thought[: max(0, length - len(tail))] + tail)
    return turns


class Forced(LogitsProcessor):
    """Lets nothing but the script's next token be sampled; one instance a turn."""

    def __init__(self, turn: list[int]) -> None:
        self.turn, self.count = turn, 0

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        forced = torch.full_like(scores, -torch.inf)
        forced[:, self.turn[self.count]] = 0.0
        self.count += 1
        return forced


def force(trainer: GRPOTrainer, turns: list[list[int]]) -> None:
    """Makes a trainer's rollouts say `turns`, in either way of generating."""
    said = {"turn": 0}
    patched: Any = trainer
    generate, single_turn = patched.model.generate, trainer._generate_single_turn

    def scripted_generate(*args: Any, **kwargs: Any) -> torch.Tensor:
        return generate(*args, logits_processor=LogitsProcessorList([Forced(turns[said["turn"]])]), **kwargs)

    def counting(*args: Any, **kwargs: Any) -> Any:
        result = single_turn(*args, **kwargs)
        said["turn"] = (said["turn"] + 1) % len(turns)
        return result

    patched.model.generate = scripted_generate
    patched._generate_single_turn = counting
    if isinstance(trainer, NavigationGRPOTrainer):
        sample = trainer._sample

        def scripted_sample(logits: torch.Tensor, rows: torch.Tensor, count: int) -> torch.Tensor:
            return torch.full_like(sample(logits, rows, count), turns[said["turn"]][count])

        patched._sample = scripted_sample


class Clock(TrainerCallback):
    """Seconds of each step, and of its rollouts.

    Args:
        now: Whose seconds; default: this process's on a CPU.
    """

    def __init__(self, now: Callable[[], float] = time.process_time) -> None:
        self.now = now
        self.steps: list[float] = []
        self.rollouts: list[float] = []

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._begun = self.now()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.steps.append(self.now() - self._begun)

    def watch(self, trainer: Any) -> None:
        """Times the rollouts, which trl makes within the step."""
        generate = trainer._generate

        def timed(prompts: Any) -> Any:
            begun = self.now()
            result = generate(prompts)
            self.rollouts.append(self.now() - begun)
            return result

        trainer._generate = timed


def padded_rows(dataset: Dataset, tokenizer: Any, length: int) -> Dataset:
    """Rows whose rendered prompts, top captions included, have exactly `length` tokens."""
    rows = []
    for row in dataset:
        head, last = row["prompt"][:-1], row["prompt"][-1]

        def tokens(filler: str, head: Any = head, last: Any = last) -> int:
            said = [*head, {**last, "content": filler + last["content"]}]
            return len(tokenizer.apply_chat_template(said, tools=TOOLS, add_generation_prompt=True, return_dict=False))

        filler = " the" * (length - tokens(""))
        filler = " the" * (length - tokens("") - (tokens(filler) - length))
        assert tokens(filler) == length, (tokens(filler), length)
        rows.append({**row, "prompt": [*head, {**last, "content": filler + last["content"]}]})
    return Dataset.from_list(rows)


def compare(episodes: int, prompt: int, turn: int, steps: int, seed: int) -> dict[str, dict[str, float]]:
    """Median CPU-seconds of a step, of its rollouts and of the rest, by variant."""
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        write_traces("small_world", None, Path(folder) / "traces", limit=64, wander=0.4)
        base = str(Path(folder) / "base")
        size = random_base(Path(folder) / "traces", base)
        print(f"{size:,} parameters, {episodes} episodes, prompts of {prompt} tokens, {TURNS} tool turns")
        traces, tokenizer = TracesFolder(Path(folder) / "traces"), load_tokenizer(base)
        rows = padded_rows(traces.rl_dataset(held=False).select(range(16)), tokenizer, prompt)
        turns = script(tokenizer, TURNS, turn)
        for name, kind in (("plain trl", GRPOTrainer), ("clipscout", NavigationGRPOTrainer)):
            functions, weights = trl_functions(RewardMix.from_config(None), turns=TURNS + 1, tokens=640)
            options = GRPOConfig(
                **PLAYED,
                output_dir=f"{folder}/{name}",
                use_cpu=True,
                bf16=False,
                per_device_train_batch_size=episodes,
                max_completion_length=640,
                max_steps=steps + 1,
                seed=seed,
                gradient_checkpointing=False,
                reward_weights=weights,
            )
            clock = Clock()
            trainer = kind(
                model=load_model(ModelConfig(model_name_or_path=base, dtype="float32")),
                args=options,
                train_dataset=rows,
                reward_funcs=[*functions],
                processing_class=tokenizer,
                environment_factory=EnvironmentFactory(traces.trees),
                callbacks=[clock],
            )
            force(trainer, turns)
            clock.watch(trainer)
            trainer.train()
            assert trainer.state.num_input_tokens_seen, "episodes were played"
            figures[name] = {
                "step": statistics.median(clock.steps[1:]),
                "rollouts": statistics.median(clock.rollouts[1:]),
                "tokens": trainer.state.num_input_tokens_seen / (steps + 1),
            }
    return figures


def describe(folder: str) -> None:
    """Prints rollout tokens a second, step time and shares of time of a run, over its last 20 steps."""
    rows = [row for row in read_metrics(Path(folder) / "metrics.jsonl") if "reward" in row][-20:]
    if not rows:
        raise SystemExit(f"error: {folder}/metrics.jsonl has no steps")

    def mean(name: str) -> float:
        return statistics.fmean(row.get(name) or 0.0 for row in rows)

    if rows[-1].get("time/rollout") is not None:
        step, rollout, tools, reward = (mean(n) for n in ("step_time", "time/rollout", "time/tools", "time/reward"))
        tokens = (rows[-1]["num_tokens"] - rows[0]["num_tokens"]) / max(len(rows) - 1, 1)
        print(f"{step:.1f} s a step; {tokens / rollout:,.0f} tokens a second of rollouts, prompts included")
        print(
            f"  rollouts {(rollout - tools) / step:.0%}, tools {tools / step:.0%}, rewards {reward / step:.0%}, "
            f"learning and the rest {1 - (rollout + reward) / step:.0%}"
        )
    else:
        step, wait, learning = (mean(n) for n in ("perf/step_s", "perf/rollout_wait_s", "perf/fwd_bwd_s"))
        print(f"{step:.1f} s a step; {mean('rollout/generated_tok_s'):,.0f} tokens generated a second")
        print(
            f"  waiting for rollouts {wait / step:.0%}, learning {learning / step:.0%}, handing over weights "
            f"{mean('perf/weight_sync_s') / step:.0%}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", help="folder of a run to describe instead")
    parser.add_argument("--episodes", type=int, default=64)
    parser.add_argument("--prompt", type=int, default=541)
    parser.add_argument("--turn", type=int, default=24, help="tokens the policy says in a turn")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.run:
        describe(options.run)
        return
    figures = compare(options.episodes, options.prompt, options.turn, options.steps, options.seed)
    print(f"{'CPU-seconds':<14}{'rollouts':>10}{'the rest':>10}{'step':>10}")
    for name, values in figures.items():
        rest = values["step"] - values["rollouts"]
        print(f"{name:<14}{values['rollouts']:>10.2f}{rest:>10.2f}{values['step']:>10.2f}")
    plain, ours = figures["plain trl"], figures["clipscout"]
    assert plain["tokens"] == ours["tokens"], "both played the same episodes"
    print(f"{'ratio':<14}{ours['rollouts'] / plain['rollouts']:>10.2f}{'':>10}{ours['step'] / plain['step']:>10.2f}")


if __name__ == "__main__":
    main()
