"""GRPO rollouts on transformers that keep the key-value cache between turns. Overrides one step of trl 1.16.0.

Reason: trl generates each turn from nothing, so that every row's history is prefilled again at every tool reply and a
group's prompt once per generation. Results are the same tokens: see tests/trainer/test_cached_rollout.py.
"""

import warnings

import torch
from trl.models import unwrap_model_for_generation

from trainer.cached_generation import CachedGenerator
from trainer.tested_trl import is_tested_trl


class CachedRollouts:
    """Mixin for `GRPOTrainer` whose transformers path samples through `CachedGenerator`.

    vLLM, continuous batching, images, an untested trl, and sampling filters that the cached path lacks go trl's own
    way, with one warning.

    Attributes:
        keep_cache: Whether to; False is trl's own way.
    """

    keep_cache: bool = True
    _generator: CachedGenerator | None = None

    def _generate(self, prompts):
        if not self._may_keep_cache():
            return super()._generate(prompts)
        # Unwrapped once for all turns: under ZeRO-3 that gathers the weights, which every process must do equally
        # often, and processes have different numbers of turns. What was cached does not outlive its weights.
        with (
            unwrap_model_for_generation(
                self.model_wrapped, self.accelerator, gather_deepspeed3_params=self.args.ds3_gather_for_generation,
                gradient_checkpointing_kwargs=self.args.gradient_checkpointing_kwargs,
            ) as model,
            torch.no_grad(),
        ):  # fmt: skip
            self._generator = CachedGenerator(model, self.eos_token_ids)
            try:
                return super()._generate(prompts)
            finally:
                self._generator = None

    def _generate_single_turn(self, prompt_ids, images, multimodal_fields, num_generations, has_tool_images=False):
        if self._generator is None or images is not None:
            return super()._generate_single_turn(
                prompt_ids, images, multimodal_fields, num_generations, has_tool_images
            )
        rows = self._generator.rows_of(prompt_ids)
        # A prompt is no continuation of any row; a later turn always is.
        self._prompt_lengths = [
            len(ids) if row is None else self._prompt_lengths[row] for ids, row in zip(prompt_ids, rows, strict=True)
        ]
        # The completion budget is the whole episode's: everything after the first prompt counts.
        budgets = [
            max(1, self.max_completion_length - len(ids) + prompt)
            for ids, prompt in zip(prompt_ids, self._prompt_lengths, strict=True)
        ]
        return self._generator.generate(prompt_ids, budgets, self._sample), None

    def _may_keep_cache(self) -> bool:
        if not self.keep_cache or self.use_vllm or self.use_transformers_continuous_batching:
            return False
        config = self.generation_config
        if config.top_k or (config.top_p or 1.0) < 1.0 or config.min_p or (config.repetition_penalty or 1.0) != 1.0:
            warnings.warn(
                "rollouts without a kept cache: top_k, top_p, min_p or repetition_penalty is set", stacklevel=2
            )
            return False
        return is_tested_trl("rollouts without a kept cache")

    def _sample(self, logits: torch.Tensor, rows: torch.Tensor, count: int) -> torch.Tensor:
        if not self.generation_config.do_sample:
            return logits.argmax(-1)
        probabilities = torch.softmax(logits.float() / self.generation_config.temperature, -1)
        return torch.multinomial(probabilities, 1).squeeze(1)
