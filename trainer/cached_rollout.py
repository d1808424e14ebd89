"""What trl 1.16.0's GRPO computes again and again, computed once: keys and values of past turns and shared prompts."""

import warnings
from typing import Any, cast

import torch
import trl
from accelerate.utils import DistributedType
from transformers import PreTrainedModel, Trainer
from transformers.cache_utils import DynamicCache, DynamicLayer
from trl import GRPOConfig, GRPOTrainer
from trl.models import unwrap_model_for_generation

from trainer.cached_generation import CachedGenerator
from trainer.cpu import return_freed_memory

TESTED_TRL = "1.16.0"


def is_tested_trl(what: str) -> bool:
    """Whether the installed trl is the tested one; warns once about `what` is given up where it is not."""
    if trl.__version__ == TESTED_TRL:
        return True
    warnings.warn(f"{what}: trl {trl.__version__} is not {TESTED_TRL}, the version this was tested with", stacklevel=3)
    return False


def keeps_plain_keys(trainer: Trainer) -> bool:
    """Whether rows of a training step may attend to keys and values that were computed apart from them.

    Not with several devices, gradient checkpointing (which keeps no keys), dropout (which rows would share), or
    attention that is not the math which a 4-D mask describes.
    """
    model = cast(PreTrainedModel, trainer.accelerator.unwrap_model(trainer.model))
    text = model.config.get_text_config()
    dropouts = (each.p for each in model.modules() if isinstance(each, torch.nn.Dropout))
    return (
        trainer.accelerator.distributed_type == DistributedType.NO
        and trainer.accelerator.num_processes == 1
        and trainer.args.n_gpu <= 1
        and not (trainer.args.gradient_checkpointing or model.is_gradient_checkpointing)
        and text._attn_implementation in ("sdpa", "eager")
        and not any(dropouts)
        and not getattr(text, "attention_dropout", 0.0)
        and all(type(layer) is DynamicLayer for layer in DynamicCache(config=text).layers)
    )


class CachedRollouts(GRPOTrainer):
    """Rollouts on transformers that keep the key-value cache between turns.

    trl generates each turn from nothing, so that every row's history is prefilled again at every tool reply, and a
    group's prompt once per generation. Results are the same tokens: see tests/trainer/grpo/test_cached_rollout.py.

    vLLM, continuous batching, images, an untested trl, and sampling filters that the cached path lacks go trl's own
    way, with one warning.

    Attributes:
        keep_cache: Whether to; False is trl's own way.
        max_turn_tokens: Most tokens of one turn, whoever generates; set it by `limit_turns`.
    """

    args: GRPOConfig
    max_completion_length: int
    keep_cache: bool = True
    max_turn_tokens: int | None = None
    _generator: CachedGenerator | None = None
    _prompt_lengths: list[int]

    def limit_turns(self, most: int | None) -> None:
        """Cuts a turn at so many tokens: one that loops would keep the whole batch waiting for the episode's budget."""
        self.max_turn_tokens = most
        if most is None:
            return
        most = min(most, self.max_completion_length)
        if self.use_vllm:
            self.vllm_generation.max_completion_length = most
        else:
            self.generation_config.max_new_tokens = self.generation_kwargs["max_new_tokens"] = most

    def _generate(self, prompts):
        if not self._may_keep_cache():
            return super()._generate(prompts)
        # Unwrapped once for all turns: under ZeRO-3 that gathers the weights, which every process must do equally
        # often, and processes have different numbers of turns. What was cached does not outlive its weights.
        with (
            unwrap_model_for_generation(
                self.model_wrapped,
                self.accelerator,
                gather_deepspeed3_params=self.args.ds3_gather_for_generation,
                gradient_checkpointing_kwargs=cast(dict[str, Any] | None, self.args.gradient_checkpointing_kwargs),
            ) as model,
            torch.no_grad(),
        ):
            self._generator = CachedGenerator(model, self.eos_token_ids)
            try:
                return super()._generate(prompts)
            finally:
                self._generator = None
                return_freed_memory(self.accelerator.device)

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
        longest = self.max_turn_tokens or self.max_completion_length
        budgets = [
            max(1, min(longest, self.max_completion_length - len(ids) + prompt))
            for ids, prompt in zip(prompt_ids, self._prompt_lengths, strict=True)
        ]
        turns = self._generator.generate(prompt_ids, budgets, self._sample)
        return_freed_memory(self.accelerator.device)
        return turns, None

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
        probabilities = torch.softmax(logits.float() / self.generation_config.temperature, -1)  # [rows, vocabulary]
        return torch.multinomial(probabilities, 1).squeeze(1)  # [rows]


class SharedPrompts(GRPOTrainer):
    """A loss that runs a prompt once for all rows that share it.

    trl runs each row's prompt again, forward and backward, though a group of 8 episodes has one; of 64 episodes with
    prompts of 541 tokens that is most of the tokens (`benchmarks/grpo.py`). Here a prompt's keys and values are
    computed once and every row of its group attends to them; autograd adds their gradients up. Log-probabilities and
    gradients are the same but for rounding: see tests/trainer/grpo/test_shared_prompts.py.

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
        """Log-probabilities and entropies of each row's last `logits_to_keep` tokens, [rows, logits_to_keep] each."""
        if self._may_share is None:
            self._may_share = self._prompts_may_be_shared()
        first, inverse = None, None
        if self._may_share and batch_size is None and all(each is None or each is False for each in others.values()):
            first, inverse = distinct(input_ids[:, :-logits_to_keep], attention_mask[:, :-logits_to_keep])
        if first is None or inverse is None or len(first) == len(input_ids):
            return super()._get_per_token_logps_and_entropies(
                model, input_ids, attention_mask, logits_to_keep, batch_size, compute_entropy, **others
            )
        # The last token of a prompt belongs to the rows: what follows it is the first that is scored.
        shared = input_ids.shape[1] - logits_to_keep - 1
        with self.accelerator.autocast():
            cache = DynamicCache()
            model(
                input_ids=input_ids[first, :shared],
                attention_mask=attention_mask[first, :shared],
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            for layer in cast(list[DynamicLayer], cache.layers):
                # From [distinct, heads, shared, size] to [rows, heads, shared, size].
                keys, values = cast(torch.Tensor, layer.keys), cast(torch.Tensor, layer.values)
                layer.keys, layer.values = keys.index_select(0, inverse), values.index_select(0, inverse)
            rest, mask = input_ids[:, shared:], attention_mask[:, shared:]  # [rows, 1 + logits_to_keep]
            # Labels are shifted by the model: that of the first token scores nothing, and padding scores 0.
            labels = rest.masked_fill(mask == 0, -100)
            labels[:, 0] = -100
            # The mask is of all tokens, those in the cache included: [rows, shared + 1 + logits_to_keep].
            outputs = model(
                input_ids=rest, attention_mask=attention_mask, past_key_values=cache, labels=labels, fused_lm_head=True
            )
        return outputs.log_probs, outputs.entropy if compute_entropy else None, None

    def _prompts_may_be_shared(self) -> bool:
        return (
            self.share_prompts and keeps_plain_keys(self) and is_tested_trl("a prompt is run once for each of its rows")
        )


def distinct(prompts: torch.Tensor, masks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Which rows to run for all.

    Args:
        prompts: Token ids, [rows, tokens], padded on the left.
        masks: 1 where a token counts.

    Returns:
        A row number for each distinct prompt, [distinct], and each row's place among them, [rows].
    """
    # Masks beside ids: padding has the id of a token. [rows, 2 * tokens]
    _, inverse = torch.unique(torch.cat([prompts, masks], 1), dim=0, return_inverse=True)
    rows = torch.arange(len(inverse), device=inverse.device)
    first = torch.full((int(inverse.max()) + 1,), len(inverse), device=inverse.device)  # [distinct], beyond any row
    # The least row number of each, so that the choice is the same on every device.
    return first.scatter_reduce(0, inverse, rows, "amin"), inverse
