"""Models and tokenizers from a Hub name or a folder, under the one chat template, and the record kept beside them."""

import json
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import cached_file
from trl import ModelConfig, get_quantization_config

from navigation import DEFAULT_TOOLS, SEARCH, InputError, SearchSettings, write_json
from navigation.prompt import FORMER_TEMPLATES, chat_template, response_template, template_hash
from runtime import file_identity, settings_hash

NAME = "clipscout.json"
"""A checkpoint's record: what made it, and the hash of the chat template it was trained under."""
INCOMPLETE = "checkpoint-is-incomplete.txt"
"""Stands in a checkpoint's folder while it is written."""
END, PADDING = "<|im_end|>", "<|endoftext|>"
MARKERS = ("<|im_start|>", END)
"""What the chat template begins and ends a turn with (ChatML)."""


def write_record(folder: str | Path, tokenizer: Any, facts: Mapping[str, Any]) -> None:
    """Writes the record of a checkpoint: `facts`, and the hash of the tokenizer's chat template."""
    write_json(Path(folder) / NAME, {"chat_template": template_hash(tokenizer.chat_template), **facts})


def read_record(name: str | Path, revision: str | None = None) -> dict[str, Any]:
    """The record of a folder or Hub model; empty where there is none, as for models that others published.

    Args:
        name: Folder or Hub name.
        revision: Branch, tag or commit on the Hub; None: its main branch.

    Raises:
        InputError: the record is no JSON object.
    """
    path = _file_if_there(str(name), NAME, revision)
    if path is None:
        return {}
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError:
        record = None
    if not isinstance(record, dict):
        raise InputError(name, NAME, record, "it should hold a JSON object: take the checkpoint from its source again")
    return record


def _file_if_there(name: str, file: str, revision: str | None) -> str | None:
    """A checkpoint's file on this machine, or None: not in it, or the Hub cannot be asked."""
    return cached_file(
        name,
        file,
        revision=revision,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
        _raise_exceptions_for_gated_repo=False,
    )


def check_template(name: str | Path, found: str | None, ours: str, revision: str | None = None) -> None:
    """Refuses a checkpoint whose chat template is not the one it was trained under.

    Args:
        name: Folder or Hub name of the checkpoint.
        found: The chat template that its tokenizer carries.
        ours: The chat template that it would be used under.
        revision: Of the Hub's, where it is one.

    Raises:
        InputError: the checkpoint was trained under another template, or its template file was changed since.
    """
    trained = read_record(name, revision).get("chat_template")
    if trained is None:
        return
    if trained != template_hash(ours):
        hint = (
            f"this ClipScout renders {template_hash(ours)}, and a model reads only the template it was trained under: "
            "use the ClipScout that trained it, or train it again"
        )
        if trained in FORMER_TEMPLATES:
            hint += f"; `clipscout migrate {name} OUT` puts the new template on it, to be trained further"
        raise InputError(name, "chat template", trained, hint)
    if found is not None and template_hash(found) != trained:
        hint = f"it was trained under {trained}: take its chat_template.jinja from the checkpoint's source again"
        raise InputError(name, "chat template", template_hash(found), hint)


def weights_of(folder: str | Path) -> str:
    """A hash that tells the weights in a folder from others; "" for a Hub name."""
    files = sorted(Path(folder).glob("*.safetensors"))
    return settings_hash({file.name: file_identity(file) for file in files})[:16] if files else ""


def tools_of(record: Mapping[str, Any]) -> tuple[str, ...]:
    """Tools that a checkpoint was trained with; a record that names none is of the default ones."""
    return tuple(record.get("tools") or DEFAULT_TOOLS)


def search_of(record: Mapping[str, Any]) -> SearchSettings | None:
    """The search that a checkpoint was trained with; None: without one, or its record does not say."""
    return SearchSettings.from_config(record["search"]) if record.get("search") else None


def check_trained_tools(
    name: str | Path, tools: Sequence[str], search: SearchSettings | None = None, revision: str | None = None
) -> None:
    """Refuses a checkpoint of ours that was trained with other tools, whose prompt is another, or another search.

    Raises:
        InputError: see above.
    """
    record = read_record(name, revision)
    if record.get("stage") in ("sft", "grpo") and tools_of(record) != tuple(tools):
        hint = f"set tools to these (--tools {','.join(tools_of(record))}), or train it with {','.join(tools)}"
        raise InputError(name, "tools", ",".join(tools_of(record)), hint)
    trained = search_of(record)
    if SEARCH in tools and trained is not None and trained.differs(search or SearchSettings()):
        hint = f"set search to {json.dumps(asdict(trained))}: its replies were written so"
        raise InputError(name, "search", asdict(search or SearchSettings()), hint)


def load_tokenizer(name: str, template: str | None = None, revision: str | None = None) -> PreTrainedTokenizerBase:
    """The tokenizer of a checkpoint with ClipScout's chat template on it, or with another of its own.

    Args:
        name: Folder or Hub name.
        template: Another chat template.
        revision: Branch, tag or commit on the Hub; None: its main branch.

    Raises:
        InputError: the tokenizer lacks ChatML's turn markers, which the template writes, or a token to pad with; or
            the checkpoint was trained under another template.
    """
    tokenizer = AutoTokenizer.from_pretrained(name, revision=revision or "main")
    check_template(name, tokenizer.chat_template, template or chat_template(), revision)
    check_markers(tokenizer, name)
    tokenizer.eos_token = END
    if tokenizer.pad_token is None or tokenizer.pad_token == END:
        tokenizer.pad_token = PADDING
    tokenizer.chat_template = template or chat_template()
    if template is None:
        tokenizer.response_template = response_template()
    return tokenizer


def check_markers(tokenizer: PreTrainedTokenizerBase, name: str) -> None:
    """Raises for a tokenizer without the tokens that our chat template needs.

    Raises:
        InputError: the tokens that are missing, or that it takes for several.
    """
    own = tokenizer.pad_token not in (None, END)
    missing = [
        marker
        for marker in (*MARKERS, *(() if own else (PADDING,)))
        if len(tokenizer(marker, add_special_tokens=False)["input_ids"]) != 1
    ]
    if missing:
        hint = (
            "use a model whose turns are ChatML's (SmolLM2, Qwen2.5, Qwen3): each of these must be one token. Or add "
            "them (tokenizer.add_special_tokens, model.resize_token_embeddings), save, and train longer"
        )
        raise InputError(name, "tokenizer", f"no token {', '.join(missing)}", hint)


def load_model(options: ModelConfig, attention: str | None = None) -> PreTrainedModel:
    """The causal language model that `options` names; weights are read from safetensors only, and no code.

    Raises:
        InputError: it is an adapter whose weights are a pickle.
    """
    name = model_name(options)
    refuse_pickled_adapter(name, options.model_revision)
    dtype = options.dtype if options.dtype in ("auto", None) else getattr(torch, options.dtype)
    quantization = get_quantization_config(options)
    arguments: dict[str, Any] = {
        "revision": options.model_revision,
        "dtype": dtype,
        "use_safetensors": True,
        "trust_remote_code": False,
        "attn_implementation": attention or options.attn_implementation,
    }
    if quantization is not None:
        arguments |= {"quantization_config": quantization, "device_map": {"": PartialState().local_process_index}}
    return AutoModelForCausalLM.from_pretrained(name, **arguments)


def model_name(options: ModelConfig) -> str:
    """The folder or Hub name that a run starts from.

    Raises:
        InputError: none is given.
    """
    if not options.model_name_or_path:
        raise InputError("config", "model_name_or_path", options.model_name_or_path, "give a folder or Hub name")
    return options.model_name_or_path


def refuse_pickled_adapter(name: str, revision: str | None = None) -> None:
    """Raises for an adapter without `adapter_model.safetensors`: transformers and peft would open its pickle instead.

    Raises:
        InputError: the adapter's weights are not there as safetensors.
    """
    config, weights = (
        _file_if_there(name, file, revision) for file in ("adapter_config.json", "adapter_model.safetensors")
    )
    if config is not None and weights is None:
        hint = "save the adapter as safetensors: pickles are not opened"
        raise InputError(name, "adapter_model.safetensors", None, hint)


def latest_checkpoint(folder: str | Path) -> Path | None:
    """The newest complete `checkpoint-N` in a run's folder, or None.

    One that was interrupted while it was written is passed over: its mark is still there, or its `trainer_state.json`,
    which comes last, is missing or cut. So is one with a file of weights or states that is cut.
    """
    found = [path for path in _checkpoints(folder) if _complete(path) and _spoiled(path) is None]
    return found[-1] if found else None


def damage(folder: str | Path) -> list[tuple[Path, str]]:
    """Files of finished checkpoints that cannot be read, one a checkpoint, the oldest first, and why."""
    return [spoiled for path in _checkpoints(folder) if _complete(path) and (spoiled := _spoiled(path)) is not None]


def unfinished(what: Path, folder: Path, error: Exception) -> str:
    """What to do about something that could not be saved in a run's folder."""
    good = latest_checkpoint(folder)
    free = shutil.disk_usage(next(place for place in (folder, *folder.parents) if place.exists())).free / 1e9
    there = f"the last good checkpoint is {good}" if good else "there is no earlier checkpoint"
    return (
        f"{what} could not be saved ({type(error).__name__}: {error}); {free:.1f} GB are free there. {there}. "
        "Make room or give another output_dir, then run the same command again."
    )


def _checkpoints(folder: str | Path) -> list[Path]:
    numbered = [(path.name.rpartition("-")[2], path) for path in Path(folder).glob("checkpoint-*")]
    return [path for _, path in sorted((int(number), path) for number, path in numbered if number.isdigit())]


def _complete(folder: Path) -> bool:
    if (folder / INCOMPLETE).exists():
        return False
    try:
        json.loads((folder / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True


def _spoiled(folder: Path) -> tuple[Path, str] | None:
    """The first file whose header or end is not what its kind has; what lies between is not read."""
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".safetensors":
            try:
                with safe_open(path, "pt") as file:
                    file.keys()
            except Exception as error:  # the library has one class of its own for everything
                return path, str(error)
        elif path.suffix in (".pt", ".pth") and not zipfile.is_zipfile(path):
            return path, "it is no file that torch.save wrote to its end"
    return None
