"""What a training run will take: memory by part on each device, and time. Printed by `--dry-run`.

Parameters are counted on the model itself, without its weights; activations by `trainer.activations`. The rest is
bookkeeping that every engine does in its own way, written down here once.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

import torch
import yaml
from accelerate import PartialState
from peft import LoraConfig
from transformers import AutoConfig, PretrainedConfig, TrainingArguments
from trl import ModelConfig, SFTConfig, get_peft_config
from trl.kernels.chunked_logprob import TOKEN_CHUNK_SIZE
from trl.trainer.utils import _CHUNKED_LOGPROB_CHUNK_SIZE as VOCABULARY_CHUNK

from navigation import InputError
from trainer.activations import kept_bytes, meta_model

GIB = 2**30
_STATES = {"sgd": 0, "adafactor": 0.1, "lion": 1}
"""fp32-sized optimizer values a parameter; AdamW, and whatever is not listed, has 2."""
_FOUR_BIT = 0.5 + 4 / 64 / 8 * 1.02
"""Bytes a weight in NF4 blocks of 64 with their scales quantized again."""
_ZERO3_LIVE = 1_000_000_000
"""Parameters that DeepSpeed keeps gathered at a time (`stage3_max_live_parameters`)."""


@dataclass(frozen=True, slots=True)
class Setup:
    """How a model is trained.

    Args:
        tokens: Tokens of one micro-batch on one device: padded length times rows.
        devices: Devices that the states are sharded over.
        stage: 0 nothing is sharded (one device, DDP), 1 optimizer, 2 and gradients, 3 and weights (ZeRO-3, FSDP2).
        dtype: Of the weights that compute.
        engine: `torch`, `deepspeed` or `fsdp2`: who keeps which copies.
        optimizer: transformers' name: `adamw_torch`, `paged_adamw_8bit`, `sgd`, …
        checkpointing: Whether activations are computed again in the backward pass.
        adapter: A peft config, or None for full fine-tuning.
        four_bit: Whether the frozen weights are NF4.
    """

    tokens: int
    devices: int = 1
    stage: int = 0
    dtype: torch.dtype = torch.bfloat16
    engine: str = "torch"
    optimizer: str = "adamw_torch"
    checkpointing: bool = True
    adapter: Any = None
    four_bit: bool = False


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes on each device. `gathered` is what a sharded run has whole for the layers at work."""

    weights: float
    gradients: float
    optimizer: float
    activations: float
    loss: float
    gathered: float

    @property
    def total(self) -> float:
        return sum(getattr(self, part.name) for part in fields(self))

    def __str__(self) -> str:
        parts = (f"{part.name} {getattr(self, part.name) / GIB:.2f}" for part in fields(self))
        return f"{', '.join(parts)}; together {self.total / GIB:.1f} GiB a device, before the allocator's own overhead"


@dataclass(frozen=True, slots=True)
class Parameters:
    """Counts of a model's parameters."""

    every: int
    trained: int
    linear: int
    """Frozen weights of linear layers inside the decoder: what 4-bit loading quantizes."""
    head: int
    """Of the output embedding."""
    largest_layer: int

    @classmethod
    def of(cls, config: PretrainedConfig, adapter: Any = None) -> "Parameters":
        model = meta_model(config, torch.bfloat16, adapter)
        head = cast(torch.nn.Linear, model.get_output_embeddings()).weight  # [vocabulary, hidden size]
        frozen = [each.weight for each in model.modules() if isinstance(each, torch.nn.Linear)]
        layers = [sum(map(torch.numel, each.parameters())) for each in model.get_decoder().layers]
        return cls(
            every=sum(map(torch.numel, model.parameters())),
            trained=sum(each.numel() for each in model.parameters() if each.requires_grad),
            linear=sum(each.numel() for each in frozen if not each.requires_grad and each is not head),
            head=head.numel(),
            largest_layer=max(layers),
        )


def memory(config: PretrainedConfig, setup: Setup) -> Memory:
    """Bytes on each device at the worst moment of a step, the second one or later.

    Raises:
        InputError: an engine or stage that does not exist.
    """
    if setup.engine not in ("torch", "deepspeed", "fsdp2"):
        raise InputError("estimate", "engine", setup.engine, "give torch, deepspeed or fsdp2")
    if setup.stage not in (0, 1, 2, 3):
        raise InputError("estimate", "stage", setup.stage, "give 0, 1, 2 or 3")
    counts, size = Parameters.of(config, setup.adapter), setup.dtype.itemsize
    frozen = counts.every - counts.trained
    # FSDP2 with mixed precision keeps what is trained in fp32 and casts it for each layer's work.
    own = 4 if setup.engine == "fsdp2" else size
    weights: float = counts.trained * own + frozen * size
    if setup.four_bit:
        weights -= counts.linear * (size - _FOUR_BIT)
    optimizer = counts.trained * _state_bytes(setup)
    per_token = kept_bytes(config, setup.dtype, adapter=setup.adapter).per_token(
        config.num_hidden_layers, setup.checkpointing
    )
    gathered = 0.0
    if setup.stage == 3:
        live = min(_ZERO3_LIVE, counts.every) if setup.engine == "deepspeed" else 2 * counts.largest_layer + counts.head
        gathered = live * size
    shard = [setup.devices if setup.stage >= least else 1 for least in (3, 2, 1)]
    trains_head = config.tie_word_embeddings or counts.trained > counts.head
    return Memory(
        weights=weights / shard[0],
        gradients=counts.trained * own / shard[1],
        optimizer=optimizer / shard[2],
        activations=setup.tokens * per_token,
        loss=loss_bytes(config, setup.tokens, size, trains_head and setup.adapter is None),
        gathered=gathered,
    )


def loss_bytes(config: PretrainedConfig, tokens: int, size: int, trains_head: bool) -> float:
    """What trl's chunked loss holds: a tile of logits, the hidden states' gradient, the head's, both in fp32.

    The full logits of 24,576 tokens over Qwen3's vocabulary would be 14 GiB in fp32, several times over.
    """
    tile = min(tokens, TOKEN_CHUNK_SIZE) * min(config.vocab_size, VOCABULARY_CHUNK) * size
    head = config.vocab_size * config.hidden_size * 4 if trains_head else 0
    return tile + head + tokens * config.hidden_size * (4 + size)


def _state_bytes(setup: Setup) -> float:
    """Optimizer bytes for each trained parameter, a master copy included where the engine keeps one."""
    name = setup.optimizer.lower()
    values = next((count for word, count in _STATES.items() if word in name), 2)
    own = 4 if setup.engine != "torch" else setup.dtype.itemsize
    # 8-bit states have one fp32 scale for each block of 256 values.
    each = 1 + 4 / 256 if "8bit" in name else own
    master = 4 if setup.engine == "deepspeed" and setup.dtype.itemsize < 4 else 0
    return values * each + master


def step_flops(config: PretrainedConfig, tokens: int, length: float, adapter: Any = None) -> float:
    """Floating-point operations that training on `tokens` needs, what checkpointing computes again left out.

    Args:
        tokens: How many.
        length: Mean tokens of the documents that attention stays inside.
        adapter: A peft config: frozen weights need no gradient of their own, a third less.
    """
    counts = Parameters.of(config)
    embedding = 0 if config.tie_word_embeddings else counts.head
    heads = config.num_attention_heads * config.head_dim
    forward = 2 * (counts.every - embedding) + 2 * config.num_hidden_layers * heads * length
    return (2 if adapter is not None else 3) * forward * tokens


PEAKS = {
    "H100": 989e12,
    "H200": 989e12,
    "H800": 989e12,
    "A100": 312e12,
    "A800": 312e12,
    "B200": 2250e12,
    "L40S": 362e12,
}
"""Dense bf16 operations a second, as the vendor states them."""
USUAL_MFU = 0.4


def peak_flops(device: str | None = None) -> tuple[str, float]:
    """Name and peak of a GPU; of the first one here, or of an H100 where there is none."""
    if device is None:
        device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "H100"
    return next(((name, peak) for name, peak in PEAKS.items() if name in device), ("H100", PEAKS["H100"]))


def lines(config: PretrainedConfig, setup: Setup, tokens: float, length: float) -> Iterator[str]:
    """What `--dry-run` prints.

    Args:
        tokens: Of the whole run: of the set times the epochs.
        length: Mean tokens of a document.
    """
    counts = Parameters.of(config, setup.adapter)
    yield f"parameters: {counts.every / 1e9:.2f} billion, trained {counts.trained / 1e9:.3f} billion"
    sharding = {0: "nothing sharded", 1: "ZeRO-1", 2: "ZeRO-2", 3: "ZeRO-3" if setup.engine == "deepspeed" else "FSDP2"}
    yield f"memory, {setup.devices} devices, {sharding[setup.stage]}, {setup.tokens} tokens at a time:"
    yield f"  {memory(config, setup)}"
    flops = step_flops(config, 1, length, setup.adapter) * tokens
    yield f"time: {tokens / 1e6:.2f} million tokens, {flops:.3g} operations: {time(config, setup, tokens, length)}"


def time(config: PretrainedConfig, setup: Setup, tokens: float, length: float) -> str:
    """Hours of a run in words.

    Args:
        tokens: Of the whole run: of the set times the epochs.
        length: Mean tokens of a document.
    """
    name, peak = peak_flops()
    flops = step_flops(config, 1, length, setup.adapter) * tokens
    hours = flops / (peak * USUAL_MFU * setup.devices) / 3600
    return f"{hours:.2f} hours on {setup.devices} x {name} at {USUAL_MFU:.0%} of its peak"


PLANNED_LAUNCH = "CLIPSCOUT_PLANNED_LAUNCH"
"""Environment variable of a dry run: the launch file whose plan is checked and told."""


def setup_of(training: SFTConfig, model: ModelConfig, longest: int) -> Setup:
    """The setup of a run as it was launched.

    Args:
        longest: Tokens of the longest sample; a packed row has `max_length`.
    """
    length = row_length(training) if training.packing else longest
    engine, stage = sharding(training)
    dtype = getattr(torch, model.dtype) if model.dtype not in (None, "auto") else torch.bfloat16
    return Setup(
        tokens=length * training.per_device_train_batch_size,
        devices=device_count(),
        stage=stage,
        dtype=dtype,
        engine=engine,
        optimizer=str(getattr(training.optim, "value", training.optim)),
        checkpointing=training.gradient_checkpointing,
        adapter=get_peft_config(model),
        four_bit=model.load_in_4bit,
    )


def row_length(training: SFTConfig) -> int:
    """Tokens of a packed row.

    Raises:
        InputError: the run packs and says no length.
    """
    if training.max_length is None:
        raise InputError("sft config", "max_length", None, "give the tokens of a packed row")
    return training.max_length


def uses_fsdp(training: TrainingArguments) -> bool:
    """Whether a run shards its weights by FSDP: its config says so, or what launched it."""
    return sharding(training)[0] == "fsdp2"


def sharding(training: TrainingArguments) -> tuple[str, int]:
    """Who shards a run's weights, and how far: as it was launched, or as a dry run plans to."""
    if training.deepspeed_plugin is not None:
        return "deepspeed", training.deepspeed_plugin.zero_stage
    if training.fsdp or os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true":
        return "fsdp2", 3
    planned = planned_launch()
    return ("torch", 0) if planned is None else engine_of(planned)


def device_count() -> int:
    """Processes of the run, or those that a dry run plans for."""
    planned = planned_launch()
    return PartialState().num_processes if planned is None else planned["num_processes"]


def planned_launch() -> Mapping[str, Any] | None:
    """The launch file of a dry run that is not launched, since no GPU is here."""
    path = os.environ.get(PLANNED_LAUNCH)
    return yaml.safe_load(Path(path).read_text(encoding="utf-8")) if path else None


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
        return training.max_steps * rows * device_count() * tokens / samples
    return training.num_train_epochs * tokens
