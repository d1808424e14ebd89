"""GRPO over the navigation environment: trl's trainers, our environment, our rewards.

    accelerate launch -m trainer.grpo --config configs/grpo/tiny_cpu.yaml [--flag value …]

`engine: sync` generates here and learns in turns; `engine: async` learns from what a vLLM server generates meanwhile.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

from datasets import Dataset
from trl import GRPOConfig, ModelConfig, get_peft_config

from navigation import EnvironmentFactory, InputError
from navigation.protocol import template_hash
from rewards import RewardMix
from trainer.alarms import Alarms
from trainer.checkpoint import load_model, load_tokenizer
from trainer.config import parse
from trainer.episode_masks import EpisodeMasks
from trainer.grpo_arguments import GRPOArguments
from trainer.grpo_checks import check, check_prompts
from trainer.grpo_trainer import NavigationGRPOTrainer
from trainer.metrics_log import MetricsLog
from trainer.progress import quiet_unless_watched
from trainer.recorder import RolloutRecorder
from trainer.run import describe_run, ended, train
from trainer.stop_on_signal import StopOnSignal


def first_by_hash(dataset: Dataset, count: int | None) -> Dataset:
    """At most `count` rows, chosen by a hash of their ids: the same rows whatever the file's order."""
    if count is None or count >= len(dataset):
        return dataset
    order = sorted(range(len(dataset)), key=lambda row: hashlib.sha256(dataset[row]["id"].encode()).digest())
    return dataset.select(sorted(order[:count]))


def parse_grpo(arguments: Sequence[str] | None = None) -> tuple[GRPOArguments, Any, ModelConfig]:
    """Options of the run, of the engine's trainer, and of the model.

    Raises:
        InputError: an option that the engine does not have.
    """
    return parse((GRPOArguments, GRPOConfig, ModelConfig), arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains.

    Raises:
        InputError: an option or a file that cannot be used.
        TrainingFailed: an alarm stopped the run.
        Preempted: SIGTERM did; a checkpoint was saved.
    """
    quiet_unless_watched()
    data_args, training_args, model_args = parse_grpo(arguments)
    check(data_args, training_args, model_args)
    mix = RewardMix.from_config(data_args.reward)
    turns, tokens = training_args.max_tool_calling_iterations + 1, training_args.max_completion_length
    functions, weights = mix.trl_functions(turns=turns, tokens=tokens)
    training_args.reward_weights = weights
    tokenizer = load_tokenizer(model_args.model_name_or_path)
    traces = data_args.traces
    questions = first_by_hash(traces.rl_dataset(held=False), data_args.train_questions)
    held_out = first_by_hash(traces.rl_dataset(held=True), data_args.held_out_questions)
    trees = traces.trees
    missing = next((video for video in questions["video_id"] if video not in trees), None)
    if missing is not None:
        raise InputError(trees.folder, "video_id", missing, "make its caption tree first")
    longest = check_prompts(questions, trees, tokenizer, training_args, model_args)
    masks = EpisodeMasks.from_config(data_args.episodes)
    alarms = Alarms(data_args.alarms, training_args.output_dir)
    recorder = RolloutRecorder(training_args.output_dir, data_args.record_rollouts)
    facts = {
        "questions": len(questions), "held out": len(held_out), "longest prompt": longest,
        "rewards": dict(zip(mix.parts, weights, strict=True)), "masked": sorted(masks.masked),
        "template": template_hash(tokenizer.chat_template),
    }  # fmt: skip
    describe_run("grpo", facts, data_args, training_args, model_args, folder=training_args.output_dir)
    if data_args.dry_run:
        return
    trainer = NavigationGRPOTrainer(
        model=load_model(model_args), args=training_args, train_dataset=questions, eval_dataset=held_out,
        reward_funcs=functions, processing_class=tokenizer, environment_factory=EnvironmentFactory(trees),
        peft_config=get_peft_config(model_args), masks=masks, recorder=recorder, keep_cache=data_args.cached_rollouts,
        tool_threads=data_args.tool_threads,
        callbacks=[MetricsLog(training_args.output_dir), *mix.callbacks(), alarms, StopOnSignal()],
    )  # fmt: skip
    trainer.record = {"stage": "grpo", "base": model_args.model_name_or_path, "data": facts}
    train(trainer, training_args.resume_from_checkpoint, trainer.record)


if __name__ == "__main__":
    ended(main)
