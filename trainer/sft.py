"""Supervised fine-tuning on trajectories: every assistant turn of a trajectory in one pass, nothing else learned.

accelerate launch -m trainer.sft --config configs/sft/tiny_cpu.yaml [--flag value …]
"""

from collections.abc import Sequence

from accelerate import PartialState
from datasets import Dataset
from transformers import EarlyStoppingCallback, PretrainedConfig, PreTrainedTokenizerBase, TrainerCallback
from trl import ModelConfig, SFTConfig, get_peft_config, pack_dataset

from navigation import InputError, did_you_mean
from navigation.prompt import template_hash
from trainer.arguments import SFTArguments, parse
from trainer.checkpoint import load_model, load_tokenizer, model_name
from trainer.estimate import lines, model_config, row_length, setup_of, total_tokens, uses_fsdp
from trainer.preflight import check_held_out, check_run, check_surroundings
from trainer.recorder import MetricsLog
from trainer.run import describe_run, ended, quiet_unless_watched, train
from trainer.sft_trainer import NavigationEvaluation, NavigationSFTTrainer
from trainer.stopping import StopOnSignal
from trainer.supervision import Counts, supervise

SOURCE = "sft config"
LESS_IS_BETTER = ("visits", "unanswered")
PLAYED = [f"navigation_{name}" for name in ("accuracy", "grounding", *LESS_IS_BETTER)]
"""What an evaluation logs of the questions that were played."""


def check(data: SFTArguments, training: SFTConfig) -> None:
    """Raises for the first setting that cannot work.

    Raises:
        InputError: the field, its value, and what to use instead.
    """
    if training.packing and training.packing_strategy != "bfd":
        hint = "use bfd: it keeps every trajectory whole and apart from the others"
        raise InputError(SOURCE, "packing_strategy", training.packing_strategy, hint)
    if training.assistant_only_loss:
        # The rows come with their labels; trl's option asks for raw messages.
        raise InputError(SOURCE, "assistant_only_loss", True, "leave it out: assistant turns alone are learned anyway")
    if not 0 <= data.whole_text_share <= 1:
        raise InputError(SOURCE, "whole_text_share", data.whole_text_share, "give a share from 0 to 1")
    for name in ("navigation_questions", "early_stopping_patience"):
        if getattr(data, name) < 0:
            raise InputError(SOURCE, name, getattr(data, name), "give 0 or more")
    metric = training.metric_for_best_model or ""
    if "navigation" in metric and metric.removeprefix("eval_") not in PLAYED:
        known = ", ".join(f"eval_{name}" for name in PLAYED)
        raise InputError(SOURCE, "metric_for_best_model", metric, f"give one of {known}{did_you_mean(metric, PLAYED)}")
    if metric.endswith(LESS_IS_BETTER) and training.greater_is_better:
        raise InputError(SOURCE, "greater_is_better", True, f"set it to false: of {metric} less is better")
    if "navigation" in metric and not data.navigation_questions:
        raise InputError(SOURCE, "metric_for_best_model", metric, "set navigation_questions too: none are played")
    if data.navigation_questions:
        if training.eval_strategy == "no":
            raise InputError(SOURCE, "eval_strategy", "no", "set it to steps: questions are played at evaluations")
        if uses_fsdp(training):
            hint = "use 0 under FSDP and `clipscout eval` on the checkpoints: sharded weights cannot generate apart"
            raise InputError(SOURCE, "navigation_questions", data.navigation_questions, hint)
    if data.early_stopping_patience and (not metric or training.eval_strategy == "no"):
        hint = "set metric_for_best_model and eval_strategy too: there is nothing to wait for"
        raise InputError(SOURCE, "early_stopping_patience", data.early_stopping_patience, hint)


def check_context(counts: Counts, max_length: int | None, config: PretrainedConfig) -> None:
    """Raises for samples of more tokens than the model has positions; says which were left out by `max_length`.

    Raises:
        InputError: the longest sample does not fit the model.
    """
    room = getattr(config, "max_position_embeddings", None)
    if room is not None and counts.longest > room:
        hint = f"set it to at most {room}, the model's max_position_embeddings: a sample has {counts.longest} tokens"
        raise InputError(SOURCE, "max_length", max_length, hint)
    if counts.dropped and PartialState().is_main_process:
        hint = (
            f"set max_length to {counts.longest_given} to keep them all"
            if room is None or (counts.longest_given <= room)
            else "set too_long: cut to keep their first turns"
        )
        total = counts.samples + counts.dropped
        print(
            f"left out: {counts.dropped} of {total} trajectories are longer than {max_length} tokens: {hint}",
            flush=True,
        )


def packed_lengths(rows: Dataset, room: int) -> list[int]:
    """Tokens of each row after packing as the trainer packs, best fit first."""
    return [len(ids) for ids in pack_dataset(rows.select_columns(["input_ids", "labels"]), room)["input_ids"]]


def waste(lengths: Sequence[int], room: int) -> float:
    """Share of `len(lengths) * room` tokens that hold nothing, 0 to 1."""
    return 1 - sum(lengths) / (len(lengths) * room)


def main(arguments: Sequence[str] | None = None) -> None:
    quiet_unless_watched()
    check_surroundings()
    data_args, training_args, model_args = parse((SFTArguments, SFTConfig, ModelConfig), arguments)
    check(data_args, training_args)
    check_run(data_args, training_args, model_args)
    base = model_name(model_args)
    tokenizer = load_tokenizer(base, revision=model_args.model_revision)
    longest, data = training_args.max_length, data_args.opened
    training, counts = supervise(
        data.sft_dataset(held=False),
        tokenizer,
        longest,
        data_args.too_long,
        data_args.whole_text_share,
        data.sft_source(held=False),
    )
    evaluation, held = supervise(
        data.sft_dataset(held=True), tokenizer, longest, data_args.too_long, source=data.sft_source(held=True)
    )
    check_context(counts, longest, model_config(base))
    rows, packed = counts.samples, {}
    if training_args.packing:
        room = row_length(training_args)
        lengths = packed_lengths(training, room)
        rows, packed = len(lengths), {"packed rows": len(lengths), "packing waste": f"{waste(lengths, room):.2%}"}
    facts = {
        "trajectories": counts.samples,
        "held out": held.samples,
        "cut": counts.cut,
        "too long": counts.dropped,
        "tokens": counts.tokens,
        "supervised": counts.supervised,
        "longest": counts.longest,
        **packed,
        "template": template_hash(tokenizer.chat_template),
        **data_args.told,
    }
    navigation = _navigation(data_args, tokenizer)
    check_held_out(training_args, held.samples)
    config = describe_run("sft", facts, data_args, training_args, model_args, folder=training_args.output_dir)
    _print_estimate(training_args, model_args, counts, rows)
    if data_args.dry_run:
        return
    callbacks: list[TrainerCallback] = [MetricsLog(training_args.output_dir), StopOnSignal()]
    if data_args.early_stopping_patience:
        callbacks.append(EarlyStoppingCallback(data_args.early_stopping_patience))
    trainer = NavigationSFTTrainer(
        model=load_model(model_args),
        args=training_args,
        train_dataset=training,
        eval_dataset=evaluation if held.samples else None,
        processing_class=tokenizer,
        peft_config=get_peft_config(model_args),
        callbacks=callbacks,
        navigation=navigation,
        longest_first=data_args.longest_first,
    )
    train(
        trainer,
        training_args.resume_from_checkpoint,
        {"stage": "sft", "base": base, **data_args.told, "data": facts},
        config,
    )


def _print_estimate(training: SFTConfig, model: ModelConfig, counts: Counts, rows: int) -> None:
    if not PartialState().is_main_process:
        return
    setup = setup_of(training, model, counts.longest)
    tokens, length = total_tokens(training, counts.tokens, rows), counts.tokens / counts.samples
    for line in lines(model_config(model_name(model)), setup, tokens, length):
        print(line, flush=True)


def _navigation(options: SFTArguments, tokenizer: PreTrainedTokenizerBase) -> NavigationEvaluation | None:
    if not options.navigation_questions:
        return None
    traces = options.navigation_traces
    # An even pick over the file: corpora list a video's questions together.
    questions = traces.questions(held=True)
    count = min(options.navigation_questions, len(questions))
    chosen = [questions[number * len(questions) // count] for number in range(count)]
    return NavigationEvaluation(
        chosen,
        options.environments(traces.trees),
        tokenizer,
        options.navigation_turns,
        options.navigation_tokens,
        options.navigation_turn_tokens,
    )


if __name__ == "__main__":
    ended(main)
