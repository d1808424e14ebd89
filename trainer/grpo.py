"""GRPO over the navigation environment: trl's trainers, our environment, our rewards.

    accelerate launch -m trainer.grpo --config configs/grpo/tiny_cpu.yaml [--flag value …]

`engine: sync` generates here and learns in turns; `engine: async` learns from what a vLLM server generates meanwhile.
"""

import copy
import dataclasses
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from accelerate.state import PartialState
from datasets import Dataset
from transformers import Trainer
from trl import GRPOConfig, ModelConfig, get_peft_config

from navigation import ClipAnswerer, InputError, LineAnswerer
from navigation.prompt import template_hash
from navigation.question import first_by_hash
from rewards import RewardMix
from rewards.judge import JudgeSettings, JudgeThread
from rewards.trl_functions import steering_callbacks, trl_functions
from trainer.alarms import Alarms
from trainer.arguments import CommandLine
from trainer.checkpoint import check_trained_tools, load_model, load_tokenizer, model_name
from trainer.grpo_checks import GRPOArguments, check, check_prompts
from trainer.grpo_trainer import NavigationGRPOTrainer
from trainer.preflight import check_held_out, check_run, check_surroundings
from trainer.probe import first_replies
from trainer.recorder import MetricsLog, RolloutRecorder
from trainer.rollout_metrics import EpisodeMasks
from trainer.run import describe_run, ended, quiet_unless_watched, train
from trainer.stopping import StopOnSignal

ENGINES = ("sync", "async")


def clip_answerer(options: GRPOArguments, video_ids: Iterable[str]) -> ClipAnswerer:
    """The answerer that `clip_url`, `clip_model` and `videos` name; without them the trees' timed lines.

    Args:
        options: Of the run.
        video_ids: Videos that questions are about: each needs its file.

    Raises:
        InputError: one of the three is missing, or a video's file is.
    """
    url, model, videos = options.clip_url, options.clip_model, options.videos
    if not (url or model or videos):
        return LineAnswerer()
    if not (url and model and videos):
        missing = next(name for name in ("clip_url", "clip_model", "videos") if not getattr(options, name))
        hint = "a vision model needs clip_url, clip_model and videos"
        raise InputError("grpo config", missing, getattr(options, missing), hint)
    # PyAV and the client are loaded by runs that ask a model alone.
    from data_gen.clips import ClipService
    from data_gen.frames.video_files import find_videos
    from runtime import BodyOptions, EndpointSettings

    folder = Path(videos)
    if not folder.is_dir():
        raise InputError("grpo config", "videos", videos, "give the folder of the video files")
    there = {video.id for video in find_videos(folder)[0]}
    absent = next((video for video in sorted(set(video_ids)) if video not in there), None)
    if absent is not None:
        raise InputError(
            folder, "video_id", absent, "put this video's file into the folder, or leave out its questions"
        )
    return ClipService(
        folder, EndpointSettings(url, model, options.clips_in_flight, body=BodyOptions.load(options.clip_request))
    )


def parse_grpo(arguments: Sequence[str] | None = None) -> tuple[GRPOArguments, Any, ModelConfig]:
    """Options of the run, of the engine's trainer (`GRPOConfig` or `AsyncGRPOConfig`), and of the model.

    Raises:
        InputError: no such engine, or an option that the engine does not have.
    """
    line = CommandLine.read(arguments)
    engine = line.value("engine", "sync")  # which options there are depends on it
    if engine not in ENGINES:
        raise InputError("grpo config", "engine", engine, f"give {' or '.join(ENGINES)}")
    if engine == "sync":
        return line.parse((GRPOArguments, GRPOConfig, ModelConfig))
    from trl.experimental.async_grpo import AsyncGRPOConfig

    # The asynchronous trainer loads the model itself, and has some of the model's options for that.
    shared = {field.name for field in dataclasses.fields(AsyncGRPOConfig)} & {
        field.name for field in dataclasses.fields(ModelConfig)
    }
    rest = dataclasses.make_dataclass(
        "RestOfModelConfig",
        # Copies, because a class that is made writes into its fields.
        [
            (each.name, each.type, copy.copy(each))
            for each in dataclasses.fields(ModelConfig)
            if each.name not in shared
        ],
    )
    data, training, model = line.parse((GRPOArguments, AsyncGRPOConfig, rest))
    return data, training, ModelConfig(**vars(model), **{name: getattr(training, name) for name in shared})


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains.

    Raises:
        InputError: an option or a file that cannot be used.
        TrainingFailed: an alarm stopped the run, or the server died.
        Preempted: SIGTERM did; a checkpoint was saved.
    """
    quiet_unless_watched()
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    check_surroundings()
    data_args, training_args, model_args = parse_grpo(arguments)
    check(data_args, training_args, model_args)
    check_run(data_args, training_args, model_args)
    mix = RewardMix.from_config(data_args.reward)
    judging = JudgeSettings.from_config(data_args.judge)
    base = model_name(model_args)
    check_trained_tools(base, data_args.tool_names, data_args.search_settings, model_args.model_revision)
    tokenizer = load_tokenizer(base, revision=model_args.model_revision)
    traces = data_args.opened
    questions, held_out = traces.rl_dataset(held=False), traces.rl_dataset(held=True)
    questions = questions.select(first_by_hash(questions["id"], data_args.train_questions))
    if len(held_out):
        held_out = held_out.select(first_by_hash(held_out["id"], data_args.held_out_questions))
    check_held_out(training_args, len(held_out))
    trees = traces.trees
    missing = next((video for video in questions["video_id"] if video not in trees), None)
    if missing is not None:
        raise InputError(trees.folder, "video_id", missing, "make its caption tree first")
    longest = check_prompts(questions, tokenizer, training_args, model_args, data_args.tool_names)
    answerer = clip_answerer(data_args, [*questions["video_id"], *(held_out["video_id"] if len(held_out) else ())])
    masks = EpisodeMasks.from_config(data_args.episodes)
    alarms = Alarms(data_args.alarms, training_args.output_dir, beta=getattr(training_args, "beta", 0.0))
    recorder = RolloutRecorder(training_args.output_dir, data_args.record_rollouts)
    facts = {
        "engine": data_args.engine,
        "questions": len(questions),
        "held out": len(held_out),
        "longest prompt": longest,
        "rewards": mix.weights,
        "masked": sorted(masks.masked),
        **({"judge": judging.to_dict()} if judging is not None else {}),
        "video_qa": data_args.clip_model or "timed lines",
        "template": template_hash(tokenizer.chat_template),
        **data_args.told,
    }
    config = describe_run("grpo", facts, data_args, training_args, model_args, folder=training_args.output_dir)
    if data_args.dry_run:
        return
    callbacks = [MetricsLog(training_args.output_dir), *steering_callbacks(mix), alarms, StopOnSignal()]
    shared: dict[str, Any] = {
        "args": training_args,
        "train_dataset": questions,
        "processing_class": tokenizer,
        "environment_factory": data_args.environments(trees, answerer),
        "peft_config": get_peft_config(model_args),
        "masks": masks,
        "recorder": recorder,
        "callbacks": callbacks,
    }
    build = _sync_trainer if data_args.engine == "sync" else _async_trainer
    trainer = build(data_args, model_args, mix, held_out, shared)
    train(
        trainer,
        training_args.resume_from_checkpoint,
        {"stage": "grpo", "base": base, **data_args.told, "data": facts},
        config,
    )


def _sync_trainer(
    data: GRPOArguments, model: ModelConfig, mix: RewardMix, held_out: Dataset, shared: dict[str, Any]
) -> Trainer:
    options = shared["args"]
    functions, options.reward_weights = trl_functions(
        mix,
        turns=options.max_tool_calling_iterations + 1,
        tokens=options.max_completion_length,
        judge=_judge(data, options),
    )
    loaded = load_model(model)
    first_replies(data, options, model, loaded, shared)
    return NavigationGRPOTrainer(
        model=loaded,
        eval_dataset=held_out,
        reward_funcs=functions,
        keep_cache=data.cached_rollouts,
        share_prompts=data.shared_prompts,
        tool_threads=data.tool_threads,
        max_turn_tokens=data.max_turn_tokens,
        **shared,
    )


def _async_trainer(
    data: GRPOArguments, model: ModelConfig, mix: RewardMix, held_out: Dataset, shared: dict[str, Any]
) -> Trainer:
    from rewards.trl_functions import Batch
    from trainer.async_engine import AsyncNavigationTrainer

    options = shared["args"]
    batch = Batch(
        mix,
        turns=options.max_tool_calling_iterations + 1,
        tokens=options.max_completion_length,
        judge=_judge(data, options),
    )
    return AsyncNavigationTrainer(
        model=model_name(model),
        batch=batch,
        server_log=data.server_log,
        max_turn_tokens=data.max_turn_tokens,
        **shared,
    )


def _judge(data: GRPOArguments, options: Any) -> JudgeThread | None:
    """The judge of the config, with a journal for each process and its share of the money."""
    settings = JudgeSettings.from_config(data.judge)
    if settings is None:
        return None
    processes, rank = PartialState().num_processes, PartialState().process_index
    if settings.max_usd is not None:
        settings = dataclasses.replace(settings, max_usd=settings.max_usd / processes)
    return JudgeThread(settings, Path(options.output_dir) / "judge" / f"rank-{rank:05d}.jsonl")


if __name__ == "__main__":
    ended(main)
