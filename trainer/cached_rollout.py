"""GRPO rollouts on transformers that keep the key-value cache between turns. Overrides one method of trl 1.16.0.

Reason: trl generates each turn from nothing, so that every row's history is prefilled again at every tool reply and a
group's prompt once per generation. Results are the same tokens: see tests/trainer/test_cached_rollout.py.
"""

import warnings

import torch
import trl
from trl import GRPOTrainer
from trl.models import unwrap_model_for_generation

from trainer.cached_generation import CachedGenerator

TESTED = "1.16.0"


class CachedRolloutTrainer(GRPOTrainer):
    """`GRPOTrainer` whose transformers path samples through `CachedGenerator`.

    vLLM, continuous batching, images, an untested trl, and sampling filters that the cached path lacks go trl's own
    way, with one warning.
    """

    _reason: str | None = None

    def _generate_single_turn(self, prompt_ids, images, multimodal_fields, num_generations, has_tool_images=False):
        if self.use_vllm or self.use_transformers_continuous_batching:
            return super()._generate_single_turn(
                prompt_ids, images, multimodal_fields, num_generations, has_tool_images
            )
        reason = self._why_plain(images)
        if reason is not None:
            if self._reason != reason:
                self._reason = reason
                warnings.warn(f"rollouts without a kept cache: {reason}", stacklevel=2)
            return super()._generate_single_turn(
                prompt_ids, images, multimodal_fields, num_generations, has_tool_images
            )
        with (
            unwrap_model_for_generation(
                self.model_wrapped, self.accelerator, gather_deepspeed3_params=self.args.ds3_gather_for_generation
            ) as model,
            torch.no_grad(),
        ):
            generator = self._cached_generator(model)
            rows = generator.rows_of(prompt_ids)
            # A prompt is no continuation of any row; a later turn always is, in a rollout that kept all its rows.
            self._prompt_lengths = [
                len(ids) if row is None else self._prompt_lengths[row]
                for ids, row in zip(prompt_ids, rows, strict=True)
            ]
            # The completion budget is the whole episode's: everything after the first prompt counts.
            budgets = [
                max(1, self.max_completion_length - len(ids) + prompt)
                for ids, prompt in zip(prompt_ids, self._prompt_lengths, strict=True)
            ]
            return generator.generate(prompt_ids, budgets, self._sample), None

    def _cached_generator(self, model) -> CachedGenerator:
        generator = getattr(self, "_generator", None)
        if generator is None or generator.model is not model or self._generator_step != self.state.global_step:
            generator = CachedGenerator(model, self.eos_token_ids)
            self._generator, self._generator_step = generator, self.state.global_step
        return generator

    def _why_plain(self, images) -> str | None:
        config = self.generation_config
        if trl.__version__ != TESTED:
            return f"trl {trl.__version__} is not {TESTED}, the version this was tested with"
        if images is not None:
            return "the prompts hold images"
        if config.top_k or (config.top_p or 1.0) < 1.0 or config.min_p or (config.repetition_penalty or 1.0) != 1.0:
            return "top_k, top_p, min_p or repetition_penalty is set"
        return None

    def _sample(self, logits: torch.Tensor, rows: torch.Tensor, count: int) -> torch.Tensor:
        if not self.generation_config.do_sample:
            return logits.argmax(-1)
        probabilities = torch.softmax(logits.float() / self.generation_config.temperature, -1)
        return torch.multinomial(probabilities, 1).squeeze(1)
