"""A small base model and its tokenizer, made from a config and the texts it will read: `clipscout tiny-base`.

It stands where Qwen3-8B stands in a real run, on machines without pretrained weights. A pretrained model can look
things up in its context; a random one cannot, and learns it slowly from trajectories. So the base begins with
`trainer.lookup_heads`; all else in it is random. It has seen no caption, question or trajectory; only its tokenizer
knows their words.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from navigation import (
    DEFAULT_TOOLS,
    InputError,
    TreeStore,
    initial_messages,
    read_questions,
    read_tools,
    read_trajectories,
    tool_schemas,
    write_json,
)
from navigation.prompt import chat_template, response_template, system_prompt
from trainer.arguments import parse
from trainer.lookup_heads import set_lookup_heads

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_PIECE = r"\d+:\d\d(?::\d\d)?-\d+:\d\d(?::\d\d)?| ?\[\d\]|\n?\p{Lu}\.| ?\d[,\]]?| ?\p{L}+| ?[^\p{L}\d ]+| "
"""A word or digit takes the space before it along, a digit also the bracket or comma after it: what belongs together in
a caption stands side by side, and a word is the same token wherever it stands."""
_HOLE = "\ue000"
"""Stands in a rendered conversation for what people, captions and models write."""


def train_tokenizer(
    texts: Sequence[str], vocabulary: int = 4096, least: int = 2, tools: Sequence[str] = DEFAULT_TOOLS
) -> PreTrainedTokenizerFast:
    """Makes a tokenizer whose vocabulary is the most frequent words of `texts`, single digits, and bytes for the rest.

    Lossless on any text. What the chat template always writes (system prompt, tool schemas, call scaffolding) is one
    token a piece, so that a model of a million parameters spends its context on captions, under the same template as
    Qwen3-8B.

    Args:
        texts: What the model will read, without the chat template.
        vocabulary: Most words to keep; rarer ones are spelled in bytes.
        least: Fewest occurrences a word needs.
        tools: What episodes have.
    """
    splitter = pre_tokenizers.Split(Regex(_PIECE), "isolated")
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    pieces = pre_tokenizers.Sequence([splitter, to_bytes])
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(piece for piece, _ in pieces.pre_tokenize_str(text))
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    words = [word for word, count in ranked if count >= least and len(word) > 1][:vocabulary]
    # With `ignore_merges`, a word of the vocabulary is one token and any other falls apart into bytes.
    entries = [*SPECIAL, *alphabet, *words]
    model = models.BPE({entry: index for index, entry in enumerate(entries)}, [], ignore_merges=True)
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pieces
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    phrases = [*scaffolding(tools), *_frequent_lines(texts)]
    if any(text.startswith(system_prompt(tools, is_open=True)) for text in texts):
        phrases = list(dict.fromkeys([*phrases, *scaffolding(tools, is_open=True)]))
    tokenizer.add_tokens([AddedToken(phrase, normalized=False) for phrase in phrases])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = chat_template()
    fast.response_template = response_template()
    return fast


def _frequent_lines(texts: Sequence[str], share: float = 0.5) -> list[str]:
    """Lines of several words that stand in more than `share` of the texts."""
    counts = Counter(line for text in texts for line in {line for line in text.splitlines() if line.count(" ") > 2})
    return sorted(line for line, count in counts.items() if count > share * len(texts))


def scaffolding(tools: Sequence[str] = DEFAULT_TOOLS, is_open: bool = False) -> list[str]:
    """The texts between what people, captions and models write, as the chat template renders them."""
    calls: Sequence[tuple[str, dict[str, Any]]] = (
        ("get_caption", {"segment": [_HOLE]}),
        ("video_qa", {"segment": [_HOLE], "query": _HOLE}),
        ("search", {"query": _HOLE}),
        ("search", {"query": _HOLE, "within": [_HOLE]}),
        ("jump", {"time": _HOLE}),
    )
    system = {"role": "system", "content": system_prompt(tools, is_open)}
    messages: list[dict[str, Any]] = [system, {"role": "user", "content": _HOLE}]
    for name, arguments in (call for call in calls if call[0] in tools):
        call = {"type": "function", "function": {"name": name, "arguments": arguments}}
        messages.append({"role": "assistant", "reasoning_content": _HOLE, "content": "", "tool_calls": [call]})
        messages.append({"role": "tool", "name": name, "content": _HOLE})
    messages.append({"role": "assistant", "reasoning_content": _HOLE, "content": f"<answer>{_HOLE}</answer>"})
    from transformers.utils.chat_template_utils import render_jinja_template

    rendered = render_jinja_template([messages], tools=[*tool_schemas(tools)], chat_template=chat_template())[0]
    # A segment's numbers are written without quotes; the hole had to be a string.
    text = rendered[0].replace(f'["{_HOLE}"]', f"[{_HOLE}]")
    phrases: dict[str, None] = {}
    for piece in re.split(f"{_HOLE}|" + "|".join(map(re.escape, SPECIAL)), text):
        # What the assistant generates begins after its header: no token may straddle that line.
        for part in re.split(r"(?<=^assistant\n)", piece):
            if len(part.strip()) > 1:
                phrases[part] = None
    return list(phrases)


@dataclass
class TinyBaseArguments:
    """What to build, and from whose words."""

    data: str = field(metadata={"help": "Traces folder whose texts the tokenizer is made from."})
    output_dir: str = field(metadata={"help": "Where the model and tokenizer go."})
    seed: int = field(default=0, metadata={"help": "Seeds the weights."})
    model: dict = field(default_factory=dict, metadata={"help": "Qwen3Config values."})
    tools: str = field(default=",".join(DEFAULT_TOOLS), metadata={"help": "Tools of an episode, with commas between."})
    lookup_heads: bool = field(
        default=True, metadata={"help": "Set lookup heads by hand; else all weights are random."}
    )


def corpus_texts(folder: Path, tools: Sequence[str] = DEFAULT_TOOLS) -> list[str]:
    """What a model reads of a traces folder: prompts with top captions, and the trajectories' turns and replies."""
    trees = TreeStore(folder / "trees", capacity=1)
    texts = []
    for question in read_questions(folder / "questions.jsonl"):
        system, asked = (message["content"] for message in initial_messages(question, trees[question.video_id], tools))
        # The system prompt of multiple choice is always there; that of questions in words where there are some.
        texts.append(f"{system}\n\n{asked}" if question.is_open else asked)
    path = folder / "trajectories.jsonl"
    if not path.is_file():
        raise InputError(folder, "data", path.name, "not there: make this folder with `make traces` first")
    for trajectory in read_trajectories(path):
        said = [message for message in trajectory.messages if message["role"] in ("assistant", "tool")]
        texts.append("\n".join(f"{message.get('reasoning_content', '')}\n{message['content']}" for message in said))
    return texts


def build(options: TinyBaseArguments) -> Mapping[str, Any]:
    """Writes model and tokenizer to `output_dir`; returns what was made."""
    tools = read_tools(options.tools)
    texts = corpus_texts(Path(options.data), tools)
    tokenizer = train_tokenizer(texts, tools=tools)
    torch.manual_seed(options.seed)
    of_tokenizer = {
        "vocab_size": len(tokenizer),
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
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
