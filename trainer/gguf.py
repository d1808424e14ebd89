"""A GGUF file, as llama.cpp and Ollama have models, made into a checkpoint that the trainers and players load.

The weights are read by transformers, which undoes the quantization. The tokenizer is built here from the file's own
record: transformers' takes the end token for the beginning one, and splits digits otherwise than the model does.
"""

from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE
from transformers import AutoModelForCausalLM, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from navigation import InputError
from navigation.prompt import chat_template, response_template
from trainer.checkpoint import END, PADDING, check_markers, write_record

_QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPLITS: dict[str, tuple[Any, ...]] = {
    "smollm": (pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)),
    "qwen2": (
        pre_tokenizers.Split(Regex(_QWEN2), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ),
}
"""How text is split into words, by the name that a GGUF file has for it (`tokenizer.ggml.pre`)."""
CONTROL, OF_THE_USER = 3, 4
"""Kinds of tokens that are found in a text before it is split (`tokenizer.ggml.token_type`)."""


def import_gguf(file: Path, out: Path, dtype: str = "float32") -> dict[str, Any]:
    """Writes a checkpoint of a GGUF file: weights as safetensors, tokenizer, our chat template, record.

    Args:
        file: The GGUF file.
        out: New folder.
        dtype: Of the saved weights: `float32`, which is trained and gives the logits of the file, or `bfloat16`.

    Returns:
        What the record beside the model says.

    Raises:
        InputError: the package `gguf` is missing, the file is no GGUF, its words are split in a way not known here, or
            its tokenizer lacks a token that the chat template needs.
    """
    try:
        from gguf import GGUFReader
    except ImportError:
        raise InputError("environment", "gguf", "not installed", "pip install -e '.[gguf]'") from None
    if not file.is_file():
        raise InputError(file, "file", None, "no such file: give a .gguf")
    try:
        fields = {name: field.contents() for name, field in GGUFReader(file).fields.items()}
    except (ValueError, IndexError) as error:  # one that is cut inside its header reads past its end
        raise InputError(file, "file", str(error), "give a GGUF file, read to its end from its source") from None
    tokenizer = gguf_tokenizer(fields, file)
    model: Any = AutoModelForCausalLM.from_pretrained(
        str(file.parent), gguf_file=file.name, dtype=getattr(torch, dtype), trust_remote_code=False
    )
    for config in (model.config, model.generation_config):
        config.bos_token_id = None
        config.eos_token_id, config.pad_token_id = tokenizer.eos_token_id, tokenizer.pad_token_id
    # What is saved is not quantized: with this record it would be loaded as if it were.
    del model.config.quantization_config
    model.hf_quantizer = None
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    facts = {
        "stage": "import-gguf",
        "base": str(fields.get("general.name") or file.stem),
        "file": file.name,
        "license": fields.get("general.license"),
        "dtype": dtype,
        "parameters": model.num_parameters(),
    }
    write_record(out, tokenizer, facts)
    return facts


def gguf_tokenizer(fields: dict[str, Any], source: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a GGUF file's fields under our chat template.

    Raises:
        InputError: another kind than byte-level BPE, words split in a way not known, or a token that is missing.
    """
    for name, known in (("tokenizer.ggml.model", ("gpt2",)), ("tokenizer.ggml.pre", tuple(SPLITS))):
        if fields.get(name) not in known:
            hint = f"give a model of {', '.join(known)}: SmolLM2, Qwen2.5 and Qwen3 are; or take it from the Hub"
            raise InputError(source, name, fields.get(name), hint)
    tokens = fields["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"]]
    made = Tokenizer(BPE({token: number for number, token in enumerate(tokens)}, merges))
    split = fields["tokenizer.ggml.pre"]
    if split == "qwen2":
        made.normalizer = normalizers.NFC()
    made.pre_tokenizer = pre_tokenizers.Sequence([*SPLITS[split]])
    made.decoder = decoders.ByteLevel()
    kinds = list(zip(tokens, fields["tokenizer.ggml.token_type"], strict=True))
    made.add_special_tokens([AddedToken(token, normalized=False) for token, kind in kinds if kind == CONTROL])
    made.add_tokens([AddedToken(token, normalized=False) for token, kind in kinds if kind == OF_THE_USER])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made)
    check_markers(tokenizer, str(source))
    tokenizer.eos_token, tokenizer.pad_token = END, PADDING
    tokenizer.chat_template = chat_template()
    tokenizer.response_template = response_template()
    return tokenizer
