"""What SFT costs: trajectories in one pass against one sample a turn, packed against padded, memory against its
estimate.

    make bench-sft                                     # a million parameters on CPU, a few minutes
    make bench-sft ARGS="--trajectories runs/goalstep/traces" # the same on trajectories of your own

One sample a turn is the released LongVideo-R1 way: every assistant turn is a sample of its own, the conversation up to
it is its prompt. Both ways learn the same tokens. Times are CPU-seconds of this process, in one run.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch.distributed._tools.mem_tracker import MemTracker
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedTokenizerBase
from trl import SFTConfig, SFTTrainer
from trl.trainer.utils import add_fused_lm_head

from benchmarks.grpo import MODEL as GRPO_MODEL
from benchmarks.grpo import SILENT
from navigation import TOOLS, answer_message, assistant_message
from trainer.data import TracesFolder
from trainer.estimate import Setup, config_of, memory
from trainer.run import quiet_unless_watched
from trainer.sft import packed_lengths, waste
from trainer.supervision import IGNORED, encode, supervise
from trainer.tiny_base import train_tokenizer

MODEL = {**GRPO_MODEL, "max_position_embeddings": 32768}
WORDS = 400
"""Words of a caption, as vision models write them."""
ROOM = 24_576
"""Tokens of a packed row, as published."""


def made_trajectory(turns: int, words: int, seed: int) -> list[dict[str, Any]]:
    """Messages of a trajectory of `turns` assistant turns over captions of `words` words: four of them in its
    prompt."""
    rng = random.Random(seed)
    vocabulary = [f"{first}{second}" for first in "bdfgklmnprst" for second in ("a", "ek", "il", "on", "un", "ya")]

    def caption(count: int) -> str:
        return " ".join(rng.choices(vocabulary, k=count))

    top = "\n".join(caption(words) for _ in range(4))
    messages = [{"role": "system", "content": "Trajectory."}, {"role": "user", "content": f"What?\nA. a\nB. b\n{top}"}]
    for turn in range(turns - 1):
        path = [turn % 4 + 1, turn // 4 % 4 + 1]
        messages.append(assistant_message(caption(60), calls=[("get_caption", {"segment": path})]))
        messages.append({"role": "tool", "name": "get_caption", "content": caption(words)})
    return [*messages, answer_message(caption(60), "B")]


def turn_samples(messages: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """The same trajectory as one sample a turn: only a sample's last turn is learned."""
    for place, message in enumerate(messages):
        if message["role"] == "assistant":
            before = [{**each, "train": False} if each["role"] == "assistant" else each for each in messages[:place]]
            yield [*before, message]


def rows_of(
    trajectories: Sequence[list[dict[str, Any]]], tokenizer: PreTrainedTokenizerBase
) -> tuple[Dataset, int, int]:
    """Rows as the trainer takes them, their tokens, and how many of those are learned."""
    rows = Dataset.from_list([{"messages": each, "tools": TOOLS} for each in trajectories], on_mixed_types="use_json")
    made, counts = supervise(rows, tokenizer)
    return made, counts.tokens, counts.supervised


def tokenizer_of(trajectories: Sequence[list[dict[str, Any]]]) -> PreTrainedTokenizerBase:
    return train_tokenizer(
        ["\n".join(str(message.get("content")) for message in trajectory) for trajectory in trajectories]
    )


def one_pass_against_turns(name: str, trajectories: Sequence[list[dict[str, Any]]]) -> float:
    """Prints and returns how many times the tokens one sample a turn processes."""
    tokenizer = tokenizer_of(trajectories)
    encoded = [encode({"messages": trajectory, "tools": TOOLS}, tokenizer) for trajectory in trajectories]
    # The template is prefix-preserving: a turn's sample is the trajectory up to that turn's end, and a newline.
    by_turn = [[end + 1 for end in each["ends"]] for each in encoded]
    _, tokens, learned = rows_of(list(turn_samples(trajectories[0])), tokenizer)
    assert tokens == sum(by_turn[0]), "counted as made"
    assert learned == sum(label != IGNORED for label in encoded[0]["labels"]), "both ways learn the same tokens"
    whole, turns = sum(len(each["input_ids"]) for each in encoded), sum(map(sum, by_turn))
    print(f"  {name:<44}{whole:>12,}{turns:>13,}{turns / whole:>8.1f}")
    return turns / whole


def time_training(trajectories: Sequence[list[dict[str, Any]]], folder: str) -> dict[str, tuple[int, float, float]]:
    """Tokens computed, the share of them that is padding, and CPU-seconds of an epoch over the same trajectories, by
    way."""
    tokenizer = tokenizer_of(trajectories)
    whole, *_ = rows_of(trajectories, tokenizer)
    turns, *_ = rows_of([sample for trajectory in trajectories for sample in turn_samples(trajectory)], tokenizer)
    longest = max(map(len, whole["input_ids"]))
    figures = {}
    ways = {"one pass, packed": (whole, True), "one pass, padded": (whole, False), "one a turn, padded": (turns, False)}
    for name, (rows, packing) in ways.items():
        config = config_of({"vocab_size": len(tokenizer), **MODEL})
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        options = SFTConfig(
            **SILENT,
            output_dir=f"{folder}/{name}",
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            num_train_epochs=1,
            per_device_train_batch_size=1 if packing else 4,
            packing=packing,
            max_length=4 * longest if packing else None,
        )
        trainer = SFTTrainer(model=model, args=options, train_dataset=rows, processing_class=tokenizer)
        tokens = sum(batch["input_ids"].numel() for batch in trainer.get_train_dataloader())
        begun = time.process_time()
        trainer.train()
        seconds = time.process_time() - begun
        figures[name] = tokens, 1 - sum(map(len, rows["input_ids"])) / tokens, seconds
    return figures


def padding(trajectories: Sequence[list[dict[str, Any]]]) -> tuple[float, float]:
    """Share of room that holds nothing, packed into rows of `ROOM` and padded in batches of 8."""
    tokenizer = tokenizer_of(trajectories)
    encoded = [encode({"messages": trajectory, "tools": TOOLS}, tokenizer) for trajectory in trajectories]
    rows = Dataset.from_list([{name: each[name] for name in ("input_ids", "labels")} for each in encoded])
    lengths = [len(each["input_ids"]) for each in encoded]
    batches = [lengths[first : first + 8] for first in range(0, len(lengths), 8)]
    padded = sum(max(batch) * len(batch) for batch in batches)
    return waste(packed_lengths(rows, ROOM), ROOM), 1 - sum(lengths) / padded


def one_step(model: Any, optimizer: torch.optim.Optimizer, ids: torch.Tensor) -> None:
    # Half of the tokens are learned, about as many as of a trajectory with short captions.
    labels = ids.clone()
    labels[:, : ids.shape[1] // 2] = -100
    model(input_ids=ids, labels=labels, fused_lm_head=True, use_cache=False).loss.backward()
    optimizer.step()
    optimizer.zero_grad()


def built(config: PretrainedConfig, setup: Setup) -> tuple[Any, torch.optim.Optimizer]:
    """A random model of `config` as a run of `setup` has it, and its optimizer."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=setup.dtype, attn_implementation="sdpa")
    add_fused_lm_head(model)
    if setup.checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return model.train(), torch.optim.AdamW(model.parameters(), lr=1e-5)


def measured_bytes(config: PretrainedConfig, setup: Setup, length: int) -> tuple[float, float]:
    """The most bytes that tensors on the CPU take in a second step, as torch's own tracker counts them.

    Returns:
        Of a step whose loss is a plain sum of the last hidden states, and of a step with trl's loss.
    """
    model, optimizer = built(config, setup)
    ids = torch.randint(0, config.vocab_size, (setup.tokens // length, length))
    one_step(model, optimizer, ids)
    found = []
    for with_loss in (False, True):
        tracker = MemTracker()
        tracker.track_external(model, optimizer)
        with tracker:
            if with_loss:
                one_step(model, optimizer, ids)
            else:
                model.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state.sum().backward()
                optimizer.step()
                optimizer.zero_grad()
        found.append(next(iter(tracker.get_tracker_snapshot("peak").values()))["Total"])
    return found[0], found[1]


def memory_table() -> Iterator[tuple[str, float, float]]:
    """What a step takes: name, estimated and measured bytes; without the loss and the loss alone.

    The loss differs by design: on a GPU trl folds a tile of logits in one kernel, on a CPU in torch, step by step.
    """
    config = config_of({**MODEL, "vocab_size": 32_000, "hidden_size": 256, "intermediate_size": 1024})
    for name, rows, length, checkpointing in (
        ("1 x 2,048", 1, 2048, False),
        ("4 x 2,048", 4, 2048, False),
        ("1 x 8,192, checkpointing", 1, 8192, True),
    ):
        setup = Setup(rows * length, dtype=torch.float32, checkpointing=checkpointing)
        estimate, (without, whole) = memory(config, setup), measured_bytes(config, setup, length)
        yield f"{name}, without the loss", estimate.total - estimate.loss, without
        yield f"{name}, the loss", estimate.loss, whole - without


def trajectories_of(folder: Path | None, turns: int, most: int) -> list[list[dict[str, Any]]]:
    """Trajectories of `turns` turns of a traces folder; of the small world's expert, where none is given."""
    with tempfile.TemporaryDirectory() as aside:
        if folder is None:
            from data_gen.traces import write_traces

            write_traces("small_world", None, Path(aside), limit=600, wander=0.6)
        every = TracesFolder(folder or Path(aside), 0.0).trajectories(held=False)
        return [trajectory.messages for trajectory in every if trajectory.turns == turns][:most]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trajectories", type=Path, help="traces folder; default: the small world, made anew")
    parser.add_argument("--turns", type=int, default=6, help="assistant turns of a trajectory")
    parser.add_argument("--count", type=int, default=24, help="trajectories to train on")
    options = parser.parse_args()
    quiet_unless_watched()
    long = {turns: [made_trajectory(turns, WORDS, seed) for seed in range(8)] for turns in (3, 6, 7, 10, 15, 30)}
    real = trajectories_of(options.trajectories, options.turns, options.count)
    print(f"  {'tokens of the same trajectories':<44}{'one pass':>12}{'by turn':>13}{'times':>8}")
    if real:
        one_pass_against_turns(
            f"{options.turns} turns, {len(real)} of {options.trajectories or 'the small world'}", real
        )
    for turns, trajectories in long.items():
        one_pass_against_turns(f"{turns} turns, captions of {WORDS} words", trajectories)
    short = [made_trajectory(3 + seed % 5, 40, seed) for seed in range(options.count)]
    name = f"training on {len(short)} trajectories of 3 to 7 turns"
    print(f"  {name:<44}{'tokens':>12}{'padding':>10}{'CPU-seconds':>13}")
    with tempfile.TemporaryDirectory() as folder:
        for name, (tokens, share, seconds) in time_training(short, folder).items():
            print(f"  {name:<44}{tokens:>12,}{share:>10.2%}{seconds:>13.1f}")
    packed, padded = padding([made_trajectory(3 + seed % 13, WORDS, seed) for seed in range(1000)])
    print(f"  empty room, trajectories of 3 to 15 turns: packed {packed:.2%}, padded in batches of 8 {padded:.2%}")
    print(f"  {'memory of a step':<44}{'estimate':>12}{'measured':>13}{'ratio':>8}")
    for name, estimate, found in memory_table():
        print(f"  {name:<44}{estimate / 2**20:>8.1f} MiB{found / 2**20:>9.1f} MiB{estimate / found:>8.2f}")


if __name__ == "__main__":
    main()
