"""A small base model from a config, for machines without pretrained weights: `clipscout tiny-base`.

It stands where Qwen3-8B stands in a real run. A pretrained model can look things up in its context; a random one
cannot, and learns it slowly from walks. So the base begins with `trainer.lookup_heads`; all else in it is random. It
has seen no caption, question or walk; only its tokenizer knows their words.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from navigation import InputError, TreeStore, initial_messages, read_questions, write_json
from navigation.prompt import describe
from trainer.config import parse
from trainer.lookup_heads import set_lookup_heads
from trainer.tokenizer import train_tokenizer


@dataclass
class TinyBaseArguments:
    """What to build, and from whose words."""

    data: str = field(metadata={"help": "Traces folder whose texts the tokenizer is made from."})
    output_dir: str = field(metadata={"help": "Where the model and tokenizer go."})
    seed: int = field(default=0, metadata={"help": "Seeds the weights."})
    model: dict = field(default_factory=dict, metadata={"help": "Qwen3Config values."})
    lookup_heads: bool = field(
        default=True, metadata={"help": "Set lookup heads by hand; else all weights are random."}
    )


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
    of_tokenizer = {
        "vocab_size": len(tokenizer), "bos_token_id": None, "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }  # fmt: skip
    model = Qwen3ForCausalLM(Qwen3Config(**of_tokenizer | options.model))
    if options.lookup_heads:
        set_lookup_heads(model, torch.Generator().manual_seed(options.seed))
    model.generation_config.update(do_sample=True, temperature=1.0, top_k=0, top_p=1.0)
    model.save_pretrained(options.output_dir)
    tokenizer.save_pretrained(options.output_dir)
    facts = {"parameters": model.num_parameters(), "vocabulary": len(tokenizer), "options": asdict(options)}
    write_json(Path(options.output_dir) / "tiny_base.json", facts)
    return facts


def main(arguments: Sequence[str] | None = None) -> None:
    (options,) = parse((TinyBaseArguments,), arguments)
    print(json.dumps(build(options)))


if __name__ == "__main__":
    main()
