"""A small base model from a config, for machines without pretrained weights: `clipscout tiny-base`.

It stands where Qwen3-8B stands in a real run. A pretrained model can look things up in its context; a random one
cannot, and learns it slowly from walks. So the base is trained on lookups first: a row of random words, then queries
that ask for a word's right or left neighbour. It has seen no caption, question or walk in any order that means
anything.
"""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.progress import track
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from navigation import InputError, TreeStore, initial_messages, read_questions, write_json
from navigation.prompt import describe
from trainer.config import parse
from trainer.tokenizer import SPECIAL, train_tokenizer

BYTES = 256


@dataclass
class TinyBaseArguments:
    """What to build, and from whose words."""

    data: str = field(metadata={"help": "Traces folder whose texts the tokenizer is made from."})
    output_dir: str = field(metadata={"help": "Where the model and tokenizer go."})
    seed: int = field(default=0, metadata={"help": "Seeds weights and lookups."})
    model: dict = field(default_factory=dict, metadata={"help": "Qwen3Config values."})
    lookup_steps: int = field(default=1500, metadata={"help": "Most steps on lookups; it stops when they are learned."})
    lookup_words: int = field(default=120, metadata={"help": "Words that lookups are made of: the most frequent."})
    lookup_learning_rate: float = field(default=3e-3, metadata={"help": "Learning rate of the lookups."})
    lookup_goal: float = field(default=0.97, metadata={"help": "Share of right lookups, twice in a row, to stop at."})


def lookups(words: Sequence[int], marks: tuple[int, int], rows: int, length: int, rng: torch.Generator) -> torch.Tensor:
    """Token rows [rows, 3 * length - 3]: `length` distinct words, a mark, then query-answer pairs in random order.

    After the first mark an answer is the query's right neighbour, after the second its left one.
    """
    vocabulary = torch.tensor(words)
    table = vocabulary[torch.rand(rows, len(words), generator=rng).argsort(1)[:, :length]]
    places = torch.rand(rows, length - 2, generator=rng).argsort(1) + 1
    right = torch.rand(rows, 1, generator=rng) < 0.5
    answers = table.gather(1, torch.where(right, places + 1, places - 1))
    queries = torch.stack([table.gather(1, places), answers], 2).flatten(1)
    return torch.cat([table, torch.where(right, *marks), queries], 1)


def learn_lookups(
    model: Qwen3ForCausalLM, words: Sequence[int], marks: tuple[int, int], options: TinyBaseArguments
) -> float:
    """Trains until lookups succeed; returns the share that did at the end."""
    rng = torch.Generator().manual_seed(options.seed)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=options.lookup_learning_rate, betas=(0.9, 0.98), weight_decay=0.01
    )
    length, share, good = 16, 0.0, 0
    for step in track(range(options.lookup_steps), description="Learning lookups"):
        for group in optimizer.param_groups:
            group["lr"] = options.lookup_learning_rate * min(1.0, (step + 1) / 50)
        rows = lookups(words, marks, 32, length, rng)
        hidden = model.model(input_ids=rows).last_hidden_state[:, length + 1 : -1 : 2]
        logits, answers = model.lm_head(hidden).flatten(0, 1), rows[:, length + 2 :: 2].flatten()
        loss = torch.nn.functional.cross_entropy(logits, answers)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 50 == 49:
            share = (logits.argmax(-1) == answers).float().mean().item()
            good = good + 1 if share >= options.lookup_goal else 0
            if good == 2:
                break
    return share


def corpus_texts(folder: Path) -> list[str]:
    """What a model reads of a traces folder: prompts with top captions, and the walks' turns and replies."""
    trees = TreeStore(folder / "trees", capacity=1)
    texts = []
    for question in read_questions(folder / "questions.jsonl"):
        texts.append(initial_messages(question)[-1]["content"] + describe(trees[question.video_id]))
    path = folder / "trajectories.jsonl"
    if not path.is_file():
        raise InputError(folder, "data", path.name, "not there: make this folder with `make traces` first")
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            said = [message for message in json.loads(line)["messages"] if message["role"] in ("assistant", "tool")]
            texts.append("\n".join(f"{message.get('reasoning_content', '')}\n{message['content']}" for message in said))
    return texts


def build(options: TinyBaseArguments) -> Mapping[str, Any]:
    """Writes model and tokenizer to `output_dir`; returns what was made."""
    texts = corpus_texts(Path(options.data))
    tokenizer: PreTrainedTokenizerFast = train_tokenizer(texts)
    torch.manual_seed(options.seed)
    random.seed(options.seed)
    config = Qwen3Config(
        vocab_size=len(tokenizer), bos_token_id=None, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id, **options.model,
    )  # fmt: skip
    model = Qwen3ForCausalLM(config)
    # The vocabulary is ordered: markers, bytes, words from the most frequent down.
    first = len(SPECIAL) + BYTES
    words = list(range(first + 2, min(first + 2 + options.lookup_words, len(tokenizer))))
    share = learn_lookups(model, words, (first, first + 1), options) if options.lookup_steps else 0.0
    model.generation_config.update(do_sample=True, temperature=1.0, top_k=0, top_p=1.0)
    model.save_pretrained(options.output_dir)
    tokenizer.save_pretrained(options.output_dir)
    facts = {
        "parameters": model.num_parameters(), "vocabulary": len(tokenizer), "lookups_right": round(share, 4),
        "options": asdict(options),
    }  # fmt: skip
    write_json(Path(options.output_dir) / "tiny_base.json", facts)
    return facts


def main(arguments: Sequence[str] | None = None) -> None:
    (options,) = parse((TinyBaseArguments,), arguments)
    print(json.dumps(build(options)))


if __name__ == "__main__":
    main()
