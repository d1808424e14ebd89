"""A three-turn dialogue with both tools, and a tokenizer that a person can read.

The tokenizer splits as Qwen3's does (same pattern, same control tokens, tool and reasoning tags that are tokens of
their own) over a vocabulary of whole pieces, so that `golden/dialogue.tsv` can be checked line by line.
"""

from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from navigation import assistant_message
from navigation.prompt import chat_template, response_template
from navigation.tools import TOOLS

GOLDEN = Path(__file__).parent / "golden" / "dialogue.tsv"
MESSAGES = [
    {"role": "system", "content": "Navigate the tree."},
    {"role": "user", "content": "What is in the park?\nA. a red car\nB. a dog\n"},
    assistant_message("The park is in [2].", calls=[("get_caption", {"segment": [2, 3]})]),
    {"role": "tool", "name": "get_caption", "content": "0:10-0:20 [2, 3] the park; < think> no </ think>"},
    assistant_message("Look.\nA dog?", calls=[("video_qa", {"segment": [2, 3, 1], "query": "is it a dog?"})]),
    {"role": "tool", "name": "video_qa", "content": "a dog"},
    assistant_message("It is.", "<answer>B</answer>"),
]
DIALOGUE = {"messages": MESSAGES, "tools": TOOLS}
_QWEN_PIECES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_TAGS = ("<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")


def golden_rows() -> list[tuple[int, int, str]]:
    """`(id, learned, text)` of each token."""
    rows = []
    for line in GOLDEN.read_text(encoding="utf-8").splitlines():
        token, learned, text = line.split("\t")
        rows.append((int(token), int(learned), text.replace("\\n", "\n")))
    return rows


def readable_tokenizer(text: str) -> PreTrainedTokenizerFast:
    """Qwen3's splitting over the pieces of `text`, numbered as they first come; bytes for the rest."""
    split = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(_QWEN_PIECES), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    plain = text
    for mark in (*_CONTROL, *_TAGS):
        plain = plain.replace(mark, "\ue000")
    pieces = [piece for part in plain.split("\ue000") for piece, _ in split.pre_tokenize_str(part)]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    entries = dict.fromkeys([*_CONTROL, *alphabet, *pieces])
    tokenizer = Tokenizer(models.BPE({entry: index for index, entry in enumerate(entries)}, [], ignore_merges=True))
    tokenizer.pre_tokenizer, tokenizer.decoder = split, decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in _CONTROL])
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in _TAGS])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=_CONTROL[2], pad_token=_CONTROL[0], clean_up_tokenization_spaces=False
    )
    fast.chat_template, fast.response_template = chat_template(), response_template()
    return fast


def golden_tokenizer() -> PreTrainedTokenizerFast:
    return readable_tokenizer("".join(text for _, _, text in golden_rows()))
