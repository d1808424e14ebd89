"""A small tokenizer made from the texts a small model will read: whole words, single digits, and bytes for the rest.

Lossless on any text. What the chat template always writes (system prompt, tool schemas, call scaffolding) is one token
a piece, so that a model of a million parameters spends its context on captions, under the same template as Qwen3-8B.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from navigation.prompt import SYSTEM, chat_template, response_template
from navigation.tools import TOOLS

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
# A word or digit takes the space before it along, a digit also the bracket or comma after it: what belongs together in
# a caption stands side by side, and a word is the same token wherever it stands.
_PIECE = r"\d+:\d\d(?::\d\d)?-\d+:\d\d(?::\d\d)?| ?\[\d\]|\n?\p{Lu}\.| ?\d[,\]]?| ?\p{L}+| ?[^\p{L}\d ]+| "
_HOLE = "\ue000"


def train_tokenizer(texts: Sequence[str], vocabulary: int = 4096, least: int = 2) -> PreTrainedTokenizerFast:
    """Makes a tokenizer whose vocabulary is the most frequent words of `texts`.

    Args:
        texts: What the model will read, without the chat template.
        vocabulary: Most words to keep; rarer ones are spelled in bytes.
        least: Fewest occurrences a word needs.
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
    phrases = [*scaffolding(), *_frequent_lines(texts)]
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


def scaffolding() -> list[str]:
    """The texts between what people, captions and models write, as the chat template renders them."""
    calls: Sequence[tuple[str, dict[str, Any]]] = (
        ("get_caption", {"segment": [_HOLE]}),
        ("video_qa", {"segment": [_HOLE], "query": _HOLE}),
    )
    messages: list[dict[str, Any]] = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": _HOLE}]
    for name, arguments in calls:
        call = {"type": "function", "function": {"name": name, "arguments": arguments}}
        messages.append({"role": "assistant", "reasoning_content": _HOLE, "content": "", "tool_calls": [call]})
        messages.append({"role": "tool", "name": name, "content": _HOLE})
    messages.append({"role": "assistant", "reasoning_content": _HOLE, "content": f"<answer>{_HOLE}</answer>"})
    from transformers.utils.chat_template_utils import render_jinja_template

    rendered, _ = render_jinja_template([messages], tools=TOOLS, chat_template=chat_template())
    # A segment's numbers are written without quotes; the hole had to be a string.
    text = rendered[0].replace(f'["{_HOLE}"]', f"[{_HOLE}]")
    phrases: dict[str, None] = {}
    for piece in re.split(f"{_HOLE}|" + "|".join(map(re.escape, SPECIAL)), text):
        # What the assistant generates begins after its header: no token may straddle that line.
        for part in re.split(r"(?<=^assistant\n)", piece):
            if len(part.strip()) > 1:
                phrases[part] = None
    return list(phrases)
