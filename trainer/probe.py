"""Whether a base speaks the protocol: GRPO learns from differences, and replies that cannot be read have none."""

import asyncio
from collections.abc import Mapping
from typing import Any

import torch
from accelerate import PartialState
from datasets import Dataset
from transformers import PreTrainedModel

from navigation import EnvironmentFactory, Limits, Question, Status, run
from trainer.checkpoint import model_name, read_record
from trainer.grpo_checks import GRPOArguments
from trainer.local_policy import LocalPolicy

QUESTIONS = 8
"""Asked of a base that no record calls trained."""
TOKENS = 512
"""Most of a first turn."""


def first_replies(
    data: GRPOArguments, training: Any, options: Any, model: PreTrainedModel, shared: Mapping[str, Any]
) -> int | None:
    """Samples first turns as training does and says so if none holds a call or an answer.

    Args:
        data: How many; see `probe_questions`.
        training: trl's options.
        options: trl's `ModelConfig`.
        model: The loaded model, whole on this process.
        shared: What the trainer is built of.

    Returns:
        How many could be read; None if none were asked for.
    """
    count = data.probe_questions
    if count is None:
        trained = read_record(model_name(options), options.model_revision).get("stage") in ("sft", "grpo")
        count = 0 if trained else QUESTIONS
    # Sharded weights cannot generate apart, and every process would ask the same.
    if count == 0 or PartialState().num_processes > 1 or training.deepspeed_plugin is not None:
        return None
    if torch.cuda.is_available() and not training.use_cpu and not options.load_in_4bit and not options.load_in_8bit:
        model.to("cuda")  # type: ignore[arg-type]
    tokens = min(TOKENS, training.max_completion_length)
    policy = LocalPolicy.of(model, shared["processing_class"], training.temperature, training.seed, tokens)
    read = asyncio.run(_readable(policy, shared["train_dataset"], shared["environment_factory"], count))
    asked = min(count, len(shared["train_dataset"]))
    if read == 0:
        print(
            f"WARNING: none of {asked} first replies of this model (up to {tokens} tokens each) holds a tool call or "
            "an answer: all episodes will have the same reward and teach nothing. Train it by SFT first (make sft)",
            flush=True,
        )
    else:
        print(f"first replies: {read} of {asked} hold a tool call or an answer", flush=True)
    return read


async def _readable(policy: LocalPolicy, questions: Dataset, factory: EnvironmentFactory, count: int) -> int:
    chosen = [Question.from_dict(_known(questions[row])) for row in range(min(count, len(questions)))]
    played = await asyncio.gather(*[run(policy, factory(), question, Limits(turns=1)) for question in chosen])
    failed = next((each for each in played if each.status is Status.FAILED), None)
    if failed is not None:
        raise RuntimeError(f"the model failed on {failed.question_id}: {failed.error}")
    return sum(each.status is Status.ANSWERED or bool(each.visits or each.refused) for each in played)


def _known(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key in Question.__dataclass_fields__}
