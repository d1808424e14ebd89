"""GRPO over the navigation environment: trl's trainer, our environment, our rewards.

accelerate launch -m trainer.grpo --config configs/grpo/tiny_cpu.yaml [--flag value …]
"""

import hashlib
import sys
from collections.abc import Sequence

from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer, ModelConfig, get_peft_config

from navigation import EnvironmentFactory, InputError
from navigation.protocol import template_hash
from rewards import RewardMix
from rewards.steering import steering_callback
from trainer.cached_rollout import CachedRolloutTrainer
from trainer.checkpoint import load_model, load_tokenizer
from trainer.config import parse
from trainer.grpo_arguments import GRPOArguments
from trainer.grpo_checks import check
from trainer.metrics_log import MetricsLog
from trainer.progress import quiet_unless_watched
from trainer.run import describe_run, train


def first_by_hash(dataset: Dataset, count: int | None) -> Dataset:
    """At most `count` rows, chosen by a hash of their ids: the same rows whatever the file's order."""
    if count is None or count >= len(dataset):
        return dataset
    order = sorted(range(len(dataset)), key=lambda row: hashlib.sha256(dataset[row]["id"].encode()).digest())
    return dataset.select(sorted(order[:count]))


def main(arguments: Sequence[str] | None = None) -> None:
    quiet_unless_watched()
    data_args, training_args, model_args = parse((GRPOArguments, GRPOConfig, ModelConfig), arguments)
    check(training_args, model_args)
    mix = RewardMix.from_config(data_args.reward)
    functions, weights = mix.trl_functions(
        turns=training_args.max_tool_calling_iterations + 1, tokens=training_args.max_completion_length
    )
    training_args.reward_weights = weights
    tokenizer = load_tokenizer(model_args.model_name_or_path)
    traces = data_args.traces
    questions = first_by_hash(traces.rl_dataset(held=False), data_args.train_questions)
    trees = traces.trees
    missing = next((video for video in questions["video_id"] if video not in trees), None)
    if missing is not None:
        raise InputError(trees.folder, "video_id", missing, "make its caption tree first")
    facts = {
        "questions": len(questions), "rewards": dict(zip(mix.parts, weights, strict=True)),
        "template": template_hash(tokenizer.chat_template),
    }  # fmt: skip
    describe_run("grpo", facts, data_args, training_args, model_args, folder=training_args.output_dir)
    if data_args.dry_run:
        return
    callbacks = [MetricsLog(training_args.output_dir)]
    if mix.cost_weight.steered:
        callbacks.append(steering_callback(mix))
    kind = CachedRolloutTrainer if data_args.cached_rollouts else GRPOTrainer
    trainer = kind(
        model=load_model(model_args), args=training_args, train_dataset=questions, reward_funcs=functions,
        processing_class=tokenizer, environment_factory=EnvironmentFactory(trees),
        peft_config=get_peft_config(model_args), callbacks=callbacks,
    )  # fmt: skip
    train(trainer, training_args.resume_from_checkpoint)


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(f"error: {error}")
