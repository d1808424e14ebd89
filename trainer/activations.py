"""What a forward pass keeps for the backward one, counted by running the model's own code without computing anything.

Tensors on torch's meta device have shapes and no data, so the count is of the real model at the real length, for free.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel
from transformers.integrations import deepspeed
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

_ATTENTION = "clipscout_counted"


class KeptBytes(NamedTuple):
    """Bytes that autograd keeps.

    Args:
        layer: Of one decoder layer, for one token.
        boundary: Of the hidden state between two layers, for one token.
        rest: Of everything outside the layers (embedding, last norm), for one token.
    """

    layer: float
    boundary: float
    rest: float

    def per_token(self, layers: int, checkpointing: bool) -> float:
        """Bytes a token: all layers' with no checkpointing; with it their boundaries, and one layer run again."""
        if checkpointing:
            return layers * self.boundary + self.layer + self.rest
        return layers * self.layer + self.rest


class _Attention(torch.autograd.Function):
    """Stands for a fused attention kernel: keeps queries, keys, values, the output and one float a row."""

    @staticmethod
    def forward(ctx, query, key, value):
        # query [rows, heads, tokens, size]; key and value [rows, key-value heads, tokens, size]
        output = torch.empty_like(query)
        # The softmax's normaliser, from which the backward pass computes the scores again: [rows, heads, tokens].
        sums = query.new_empty(query.shape[:-1], dtype=torch.float32)
        ctx.save_for_backward(query, key, value, output, sums)
        return output.transpose(1, 2)  # [rows, tokens, heads, size], as transformers has it

    @staticmethod
    def backward(ctx, gradient):
        query, key, value, *_ = ctx.saved_tensors
        return torch.zeros_like(query), torch.zeros_like(key), torch.zeros_like(value)


def _attention(module, query, key, value, attention_mask, **kwargs):
    return _Attention.apply(query, key, value), None


def kept_bytes(config: PretrainedConfig, dtype: torch.dtype, tokens: int = 256, adapter: object = None) -> KeptBytes:
    """Counts for a decoder of `config` with weights of `dtype` and a fused attention.

    Args:
        tokens: Length to count at; the counts are per token, and attention of this kind keeps nothing quadratic.
        adapter: A peft config: an adapter on frozen weights keeps less than a model trained in full.
    """
    # What one layer keeps is what a model of two keeps beyond a model of one.
    ALL_ATTENTION_FUNCTIONS.register(_ATTENTION, _attention)
    one, two = (_count(config, layers, dtype, tokens, adapter) for layers in (1, 2))
    layer = (two - one) / tokens
    boundary = config.hidden_size * dtype.itemsize
    return KeptBytes(layer, boundary, one / tokens - layer)


@contextmanager
def _not_partitioned() -> Iterator[None]:
    """Models made inside are whole: under ZeRO-3 transformers divides every model among processes as it is made."""
    active = deepspeed._hf_deepspeed_config_weak_ref
    deepspeed.unset_hf_deepspeed_config()
    try:
        yield
    finally:
        deepspeed._hf_deepspeed_config_weak_ref = active


def meta_model(config: PretrainedConfig, dtype: torch.dtype, adapter: object = None) -> PreTrainedModel:
    """The model of `config` without data, whole even where training divides it; peft's wrapper has its methods too."""
    with torch.device("meta"), _not_partitioned():
        model: Any = AutoModelForCausalLM.from_config(config, dtype=dtype)
        if adapter is not None:
            from peft import PeftConfig, get_peft_model

            # A copy: peft writes the modules it found into its config.
            model = get_peft_model(model, cast(PeftConfig, copy.deepcopy(adapter)), autocast_adapter_dtype=False)
    return model.train()


def _count(config: PretrainedConfig, layers: int, dtype: torch.dtype, tokens: int, adapter: object) -> int:
    values = {**config.to_dict(), "num_hidden_layers": layers, "layer_types": None}
    small = AutoConfig.for_model(**values)
    small._attn_implementation = _ATTENTION
    model = meta_model(small, dtype, adapter)
    if adapter is not None:
        model.enable_input_require_grads()
    owned = {storage_id(parameter) for parameter in model.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        # Weights are counted elsewhere; views of one memory are kept once.
        if storage_id(tensor) not in owned:
            kept[storage_id(tensor)] = tensor.untyped_storage()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        ids = torch.zeros(1, tokens, dtype=torch.long, device="meta")  # [rows, tokens], and its zeros as positions
        model.get_decoder()(input_ids=ids, position_ids=ids, attention_mask=None, use_cache=False)
        return sum(storage.nbytes() for storage in kept.values())


def storage_id(tensor: torch.Tensor) -> int:
    """What two tensors that share their memory have in common, on any device."""
    return tensor.untyped_storage()._cdata
