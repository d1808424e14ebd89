"""GRPO's loss runs a prompt that several rows share once. Overrides one step of trl 1.16.0.

Reason: trl runs each row's prompt again, forward and backward, though a group of 8 episodes has one; of 64 episodes
with prompts of 541 tokens that is most of the tokens (`benchmarks/grpo.py`). Here a prompt's keys and values are
computed once and every row of its group attends to them; autograd adds their gradients up. Log-probabilities and
gradients are the same but for rounding: see tests/trainer/grpo/test_shared_prompts.py.
"""

from typing import Any

import torch
from accelerate.utils import DistributedType
from transformers.cache_utils import DynamicCache, DynamicLayer

from trainer.tested_trl import is_tested_trl


class SharedPrompts:
    """Mixin for `GRPOTrainer` whose loss is computed with each distinct prompt once.

    Several processes, gradient checkpointing (which keeps no keys), dropout (which rows of a group would share),
    attention that is not the math that a 4-D mask describes, images, and an untested trl go trl's own way.

    Attributes:
        share_prompts: Whether to; False is trl's own way.
    """

    share_prompts: bool = True
    _may_share: bool | None = None

    def _get_per_token_logps_and_entropies(
        self, model, input_ids, attention_mask, logits_to_keep, batch_size=None, compute_entropy=False, **others: Any
    ):
        if self._may_share is None:
            self._may_share = self._prompts_may_be_shared()
        first, inverse = None, None
        if self._may_share and batch_size is None and all(each is None or each is False for each in others.values()):
            first, inverse = distinct(input_ids[:, :-logits_to_keep], attention_mask[:, :-logits_to_keep])
        if first is None or len(first) == len(input_ids):
            return super()._get_per_token_logps_and_entropies(
                model, input_ids, attention_mask, logits_to_keep, batch_size, compute_entropy, **others
            )
        # The last token of a prompt belongs to the rows: what follows it is the first that is scored.
        shared = input_ids.shape[1] - logits_to_keep - 1
        with self.accelerator.autocast():
            cache = DynamicCache()
            model(
                input_ids=input_ids[first, :shared], attention_mask=attention_mask[first, :shared],
                past_key_values=cache, use_cache=True, logits_to_keep=1,
            )  # fmt: skip
            for layer in cache.layers:
                layer.keys, layer.values = layer.keys.index_select(0, inverse), layer.values.index_select(0, inverse)
            rest, mask = input_ids[:, shared:], attention_mask[:, shared:]
            labels = rest.masked_fill(mask == 0, -100)
            labels[:, 0] = -100
            outputs = model(
                input_ids=rest, attention_mask=attention_mask, past_key_values=cache, labels=labels, fused_lm_head=True
            )
        return outputs.log_probs, outputs.entropy if compute_entropy else None, None

    def _prompts_may_be_shared(self) -> bool:
        model = self.accelerator.unwrap_model(self.model)
        text = model.config.get_text_config()
        dropouts = (each.p for each in model.modules() if isinstance(each, torch.nn.Dropout))
        return (
            self.share_prompts
            and self.accelerator.distributed_type == DistributedType.NO
            and self.accelerator.num_processes == 1
            and not (self.args.gradient_checkpointing or model.is_gradient_checkpointing)
            and text._attn_implementation in ("sdpa", "eager")
            and not any(dropouts)
            and not getattr(text, "attention_dropout", 0.0)
            and all(type(layer) is DynamicLayer for layer in DynamicCache(config=text).layers)
            and is_tested_trl("a prompt is run once for each of its rows")
        )


def distinct(prompts: torch.Tensor, masks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Which rows to run for all.

    Args:
        prompts: Token ids, [rows, tokens], padded on the left.
        masks: 1 where a token counts.

    Returns:
        A row number for each distinct prompt, [distinct], and each row's place among them, [rows].
    """
    _, inverse = torch.unique(torch.cat([prompts, masks], 1), dim=0, return_inverse=True)
    rows = torch.arange(len(inverse), device=inverse.device)
    first = torch.full((int(inverse.max()) + 1,), len(inverse), device=inverse.device)
    return first.scatter_reduce(0, inverse, rows, "amin"), inverse
