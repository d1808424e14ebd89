"""Models and tokenizers from a Hub name or a local folder, under the one chat template."""

import json
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from trl import ModelConfig, get_quantization_config

from navigation import InputError
from navigation.protocol import chat_template, response_template
from trainer.checkpoint_record import check_template

INCOMPLETE = "checkpoint-is-incomplete.txt"
"""Stands in a checkpoint's folder while it is written."""


def load_tokenizer(name: str, template: str | None = None) -> PreTrainedTokenizerBase:
    """The tokenizer of a checkpoint with ClipScout's chat template on it, or with another of its own.

    Raises:
        InputError: the tokenizer lacks Qwen's turn markers, which the template writes; or the checkpoint was trained
            under another template.
    """
    tokenizer = AutoTokenizer.from_pretrained(name)
    check_template(name, tokenizer.chat_template, template or chat_template())
    for marker in ("<|im_start|>", "<|im_end|>"):
        if len(tokenizer(marker, add_special_tokens=False)["input_ids"]) != 1:
            raise InputError(name, "tokenizer", marker, "use a Qwen3 checkpoint: each turn marker must be one token")
    tokenizer.eos_token = "<|im_end|>"
    if tokenizer.pad_token is None or tokenizer.pad_token == tokenizer.eos_token:
        tokenizer.pad_token = "<|endoftext|>"
    tokenizer.chat_template = template or chat_template()
    if template is None:
        tokenizer.response_template = response_template()
    return tokenizer


def load_model(options: ModelConfig, attention: str | None = None) -> PreTrainedModel:
    """The causal language model that `options` names; weights are read from safetensors only, and no code."""
    dtype = options.dtype if options.dtype in ("auto", None) else getattr(torch, options.dtype)
    quantization = get_quantization_config(options)
    arguments: dict[str, Any] = {
        "revision": options.model_revision, "dtype": dtype, "use_safetensors": True,
        "trust_remote_code": False,
        "attn_implementation": attention or options.attn_implementation,
    }  # fmt: skip
    if quantization is not None:
        arguments |= {"quantization_config": quantization, "device_map": {"": PartialState().local_process_index}}
    return AutoModelForCausalLM.from_pretrained(options.model_name_or_path, **arguments)


def latest_checkpoint(folder: str | Path) -> Path | None:
    """The newest complete `checkpoint-N` in a run's folder, or None.

    One that was interrupted while it was written is passed over: its mark is still there, or its `trainer_state.json`,
    which comes last, is missing or cut.
    """
    found = [
        (int(path.name.rpartition("-")[2]), path)
        for path in Path(folder).glob("checkpoint-*")
        if path.name.rpartition("-")[2].isdigit() and _complete(path)
    ]
    return max(found)[1] if found else None


def _complete(folder: Path) -> bool:
    if (folder / INCOMPLETE).exists():
        return False
    try:
        json.loads((folder / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True
