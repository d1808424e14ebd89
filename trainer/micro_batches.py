"""Micro-batches of a GRPO step that hold whole groups, and no column that is padding in all of their rows.

trl 1.16.0 shuffles a step's episodes before it splits them, so that a prompt which 8 episodes share is run in several
micro-batches, and pads all of them to the longest episode of the step. Where a step is one update, its gradient is a
sum over episodes and their order does not matter. Equal but for rounding: tests/trainer/grpo/test_micro_batches.py.
"""

from typing import Any

import torch
from trl import GRPOConfig, GRPOTrainer
from trl.trainer.utils import split_tensor_dict

from trainer.cached_rollout import is_tested_trl

Batch = dict[str, Any]
PROMPT = ("prompt_ids", "prompt_mask")
COMPLETION = (
    "completion_ids",
    "completion_mask",
    "tool_mask",
    "old_per_token_logps",
    "ref_per_token_logps",
    "sampling_per_token_logps",
    "importance_sampling_ratio",
)
"""Values of each token: [episodes, tokens]."""
WHOLE = (*PROMPT, *COMPLETION, "advantages", "num_items_in_batch")
"""What a step of texts holds; with anything else it is left as it is."""
SUMMED = ("grpo", "dr_grpo", "dapo")
"""Losses to which an episode adds the same in whichever micro-batch it is."""


class TidyMicroBatches(GRPOTrainer):
    """GRPO whose accumulation steps are tidied where that changes nothing but the time."""

    args: GRPOConfig

    def _prepare_inputs(self, generation_batch):
        before = self._buffered_inputs
        inputs = super()._prepare_inputs(generation_batch)
        made = self._buffered_inputs
        if made is None or made is before or len(made) == 1 or not self._order_is_free(made):
            return inputs
        self._buffered_inputs = tidied(made)
        return self._buffered_inputs[self._step % self.args.steps_per_generation]

    def _order_is_free(self, made: list[Batch]) -> bool:
        return (
            self.num_iterations == 1
            and self.args.steps_per_generation == self.args.gradient_accumulation_steps
            and self.loss_type in SUMMED
            and all(set(batch) <= set(WHOLE) for batch in made)
            and is_tested_trl("micro-batches are as shuffled and as wide as the longest episode")
        )


def tidied(batches: list[Batch]) -> list[Batch]:
    """As many batches of the same rows: by prompt, within a prompt by length, each no wider than its rows need."""
    whole = {
        name: value if value is None or value.ndim == 0 else torch.cat([batch[name] for batch in batches])
        for name, value in batches[0].items()
    }
    prompts = [tuple(row) for row in torch.cat([whole[name] for name in PROMPT], 1).tolist()]  # ids, and their mask
    lengths = whole["completion_mask"].sum(1).tolist()
    order = sorted(range(len(prompts)), key=lambda row: (prompts[row], lengths[row]))
    rows = torch.tensor(order, device=whole["prompt_ids"].device)
    whole = {name: value if value is None or value.ndim == 0 else value[rows] for name, value in whole.items()}
    return [_narrowed(batch) for batch in split_tensor_dict(whole, len(batches))]


def _narrowed(batch: Batch) -> Batch:
    """Without the columns on the left of all prompts and on the right of all completions."""
    prompt, completion = (max(1, int(batch[name].sum(1).max())) for name in ("prompt_mask", "completion_mask"))

    def cut(name: str, value: Any) -> Any:
        if not isinstance(value, torch.Tensor) or value.ndim < 2:
            return value
        if name in PROMPT:
            return value[:, -prompt:]
        # A ratio of whole sequences is [episodes, 1].
        return value[:, :completion] if name in COMPLETION else value

    return {name: cut(name, value) for name, value in batch.items()}
