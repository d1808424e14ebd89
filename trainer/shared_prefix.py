"""SFT steps that run once what all of their rows begin with: the system message, the tools, and a video they share.

trl 1.16.0 runs every row whole. Rows of SmolLM2 on Goal-Step begin with the same 580 of 1,370 tokens, of which none is
learned. Here those tokens' keys and values are computed once a step, each row attends to them, and their gradients
are summed over the rows before they go back through the prefix. Loss and gradients are the same but for rounding:
tests/trainer/sft/test_shared_prefix.py; `benchmarks/lm.py` measures the step.
"""

from typing import Any, cast

import torch
from transformers.cache_utils import DynamicCache
from trl import SFTConfig, SFTTrainer

from trainer.cached_rollout import is_tested_trl, keeps_plain_keys
from trainer.supervision import IGNORED

LEAST = 16
"""Tokens that are worth a pass of their own."""
KEYS = {"input_ids", "labels", "attention_mask"}
"""What a micro-batch of whole rows, padded on the right, holds; packed rows have no mask."""

Batch = dict[str, Any]


def shared_length(batches: list[Batch]) -> int:
    """How many tokens all rows begin with and none learns, less the one whose hidden state predicts the next.

    Args:
        batches: Each with `input_ids` and `labels`, [rows, tokens], padded on the right.
    """
    rows = [row for batch in batches for row in batch["input_ids"].tolist()]
    labels = [row for batch in batches for row in batch["labels"].tolist()]
    learned = min(next((at for at, label in enumerate(row) if label != IGNORED), len(row)) for row in labels)
    # The first learned token is predicted by the one before it, which has to be a row's own.
    common = next(
        (at for at, tokens in enumerate(zip(*rows, strict=False)) if len(set(tokens)) > 1), min(map(len, rows))
    )
    return max(0, min(common, learned) - 1)


class SharedPrefix(SFTTrainer):
    """trl's `SFTTrainer` that runs the common beginning of a step's rows once, however the step is split.

    Attributes:
        share_prefix: Whether to; False is trl's own way.
    """

    share_prefix: bool = True
    _shared: int = 0
    _left: int = 0
    _computed: list[torch.Tensor] | None = None
    _leaves: list[torch.Tensor] | None = None
    _may_share: bool | None = None

    def get_batch_samples(self, epoch_iterator, num_batches, device):
        batches, count = super().get_batch_samples(epoch_iterator, num_batches, device)
        if self._may_share is None:
            self._may_share = self._prefix_may_be_shared()
        self._computed = self._leaves = None
        self._shared, self._left = 0, len(batches)
        several = sum(len(batch["input_ids"]) for batch in batches) > 1
        if self._may_share and several and all(set(batch) == KEYS for batch in batches):
            length = shared_length(batches)
            self._shared = length if length >= LEAST else 0
        return batches, count

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        if self._shared:
            inputs = self._after_prefix(model, inputs)
        return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        loss = super().training_step(*args, **kwargs)
        self._left -= 1
        if self._left == 0 and self._shared:
            assert self._computed is not None
            assert self._leaves is not None
            # What rows sent back to the keys and values, [1, heads, shared, size] each, goes on through the prefix.
            reached = [
                (made, leaf.grad.to(made.dtype))
                for made, leaf in zip(self._computed, self._leaves, strict=True)
                if leaf.grad is not None
            ]
            if reached:
                torch.autograd.backward([made for made, _ in reached], [gradient for _, gradient in reached])
            self._computed = self._leaves = None
            self._shared = 0
        return loss

    def _after_prefix(self, model: Any, inputs: Batch) -> Batch:
        """A micro-batch without its first tokens, whose keys and values it gets instead."""
        ids, labels, mask = inputs["input_ids"], inputs["labels"], inputs["attention_mask"]  # [rows, tokens]
        if self._computed is None or self._leaves is None:
            kept = DynamicCache()
            model(input_ids=ids[:1, : self._shared], past_key_values=kept, use_cache=True, logits_to_keep=1)
            layers = cast(list[Any], kept.layers)
            self._computed = [each for layer in layers for each in (layer.keys, layer.values)]
            # In fp32, under autocast too: the gradients of many rows are summed here. With an adapter some need none.
            self._leaves = [each.detach().float().requires_grad_(each.requires_grad) for each in self._computed]
        cache = DynamicCache()
        types = [made.dtype for made in self._computed]
        rows = [
            leaf.to(kind).expand(len(ids), -1, -1, -1) for leaf, kind in zip(self._leaves, types, strict=True)
        ]  # [rows, heads, shared, size]
        for number, (keys, values) in enumerate(zip(rows[::2], rows[1::2], strict=True)):
            cache.update(keys, values, number)
        return {
            "input_ids": ids[:, self._shared :],
            "labels": labels[:, self._shared :],
            # Of all tokens, those in the cache included.
            "attention_mask": mask,
            "past_key_values": cache,
        }

    def _prefix_may_be_shared(self) -> bool:
        model = self.accelerator.unwrap_model(self.model)
        adapter = getattr(model, "active_peft_config", None)
        return (
            self.share_prefix
            and keeps_plain_keys(self)
            and not self.args.torch_compile
            and not cast(SFTConfig, self.args).activation_offloading
            and not self.args.use_liger_kernel
            # Noise on embeddings would be one for all rows.
            and self.args.neftune_noise_alpha is None
            # These run a batch twice, or need every token.
            and self.compute_loss_func is None
            and self.label_smoother is None
            and not self.aux_loss_enabled
            and not (adapter is not None and adapter.is_prompt_learning)
            and is_tested_trl("what a step's rows begin with is run once")
        )
