"""From a run's own options to what the estimator asks for."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from accelerate import PartialState
from peft import LoraConfig
from transformers import AutoConfig, PretrainedConfig
from trl import ModelConfig, SFTConfig, get_peft_config

from trainer.estimate import Setup


def setup_of(training: SFTConfig, model: ModelConfig, longest: int) -> Setup:
    """The setup of a run as it was launched.

    Args:
        longest: Tokens of the longest sample; a packed row has `max_length`.
    """
    length = training.max_length if training.packing else longest
    plugin = training.deepspeed_plugin
    sharded = bool(training.fsdp) or os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"
    dtype = getattr(torch, model.dtype) if model.dtype not in (None, "auto") else torch.bfloat16
    return Setup(
        tokens=length * training.per_device_train_batch_size,
        devices=PartialState().num_processes,
        stage=plugin.zero_stage if plugin is not None else 3 if sharded else 0,
        dtype=dtype,
        engine="deepspeed" if plugin is not None else "fsdp2" if sharded else "torch",
        optimizer=str(getattr(training.optim, "value", training.optim)),
        checkpointing=training.gradient_checkpointing,
        adapter=get_peft_config(model),
        four_bit=model.load_in_4bit,
    )


def planned_setup(config: Mapping[str, Any], launch: Mapping[str, Any], devices: int | None = None) -> Setup:
    """The setup of a config under a launch file of accelerate, without launching it.

    Args:
        config: A training config as its YAML has it.
        launch: The launch file.
        devices: How many train; default: the launch file's processes.
    """
    engine, stage = engine_of(launch)
    # A packed row, or whatever bounds an episode with its prompt.
    longest = config.get("max_length") or config.get("vllm_max_model_length") or config.get("token_budget") or 1
    rows = 1 if config.get("token_budget") else config.get("per_device_train_batch_size", 8)
    return Setup(
        tokens=longest * rows,
        devices=devices or launch["num_processes"],
        stage=stage,
        dtype=getattr(torch, config.get("dtype") or "bfloat16"),
        engine=engine,
        optimizer=config.get("optim") or "adamw_torch",
        checkpointing=config.get("gradient_checkpointing", True),
        adapter=adapter_of(config),
        four_bit=bool(config.get("load_in_4bit")),
    )


def engine_of(launch: Mapping[str, Any]) -> tuple[str, int]:
    """Who shards under a launch file, and how far: the estimator's `engine` and `stage`."""
    if launch["distributed_type"] == "DEEPSPEED":
        return "deepspeed", launch["deepspeed_config"]["zero_stage"]
    return ("fsdp2", 3) if launch["distributed_type"] == "FSDP" else ("torch", 0)


def adapter_of(config: Mapping[str, Any]) -> LoraConfig | None:
    """The adapter that a config trains, if it does."""
    if not config.get("use_peft"):
        return None
    modules = config.get("lora_target_modules") or "all-linear"
    return LoraConfig(r=config.get("lora_r", 16), target_modules=modules, task_type="CAUSAL_LM")


def model_config(name: str) -> PretrainedConfig:
    """The config of a folder or Hub model, or of the `model:` part of a YAML as `configs/model/` holds them."""
    if Path(name).suffix == ".yaml":
        return config_of(yaml.safe_load(Path(name).read_text(encoding="utf-8"))["model"])
    return AutoConfig.from_pretrained(name, trust_remote_code=False)


def config_of(values: dict[str, Any]) -> PretrainedConfig:
    """A Qwen3 config."""
    return AutoConfig.for_model("qwen3", **values)


def total_tokens(training: SFTConfig, tokens: int, samples: int) -> float:
    """Tokens of the whole run: `max_steps` times a step, or the epochs times the set."""
    if training.max_steps > 0:
        rows = training.per_device_train_batch_size * training.gradient_accumulation_steps
        return training.max_steps * rows * PartialState().num_processes * tokens / samples
    return training.num_train_epochs * tokens
