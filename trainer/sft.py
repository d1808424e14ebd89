"""Supervised fine-tuning on walks: every assistant turn of a trajectory in one pass, nothing else learned.

accelerate launch -m trainer.sft --config configs/sft/tiny_cpu.yaml [--flag value …]
"""

from collections.abc import Sequence
from typing import Any

from accelerate import PartialState
from transformers import EarlyStoppingCallback, PreTrainedTokenizerBase, TrainerCallback
from trl import ModelConfig, SFTConfig, get_peft_config

from navigation.prompt import template_hash
from trainer.arguments import SFTArguments
from trainer.checkpoint import load_model, load_tokenizer
from trainer.config import parse
from trainer.estimate import lines
from trainer.estimate_setup import model_config, setup_of, total_tokens
from trainer.metrics_log import MetricsLog
from trainer.navigation_evaluation import NavigationEvaluation
from trainer.packing import packed_facts, packed_lengths
from trainer.progress import quiet_unless_watched
from trainer.run import describe_run, ended, train
from trainer.sft_checks import check
from trainer.sft_trainer import WalkTrainer
from trainer.stop_on_signal import StopOnSignal
from trainer.supervision import Counts, supervise


def main(arguments: Sequence[str] | None = None) -> None:
    quiet_unless_watched()
    data_args, training_args, model_args = parse((SFTArguments, SFTConfig, ModelConfig), arguments)
    check(data_args, training_args)
    tokenizer = load_tokenizer(model_args.model_name_or_path, revision=model_args.model_revision)
    longest = training_args.max_length
    training, counts = supervise(
        data_args.sft_dataset(held=False), tokenizer, longest, data_args.too_long, data_args.whole_text_share
    )
    evaluation, held = supervise(data_args.sft_dataset(held=True), tokenizer, longest, data_args.too_long)
    facts = {
        "trajectories": counts.samples, "held out": held.samples, "cut": counts.cut, "too long": counts.dropped,
        "tokens": counts.tokens, "supervised": counts.supervised, "longest": counts.longest,
        **packed_facts(training, training_args), "template": template_hash(tokenizer.chat_template),
    }  # fmt: skip
    navigation = _navigation(data_args, tokenizer)
    config = describe_run("sft", facts, data_args, training_args, model_args, folder=training_args.output_dir)
    rows = len(packed_lengths(training, longest)) if training_args.packing else counts.samples
    _print_estimate(training_args, model_args, counts, rows)
    if data_args.dry_run:
        return
    callbacks: list[TrainerCallback] = [MetricsLog(training_args.output_dir), StopOnSignal()]
    if data_args.early_stopping_patience:
        callbacks.append(EarlyStoppingCallback(data_args.early_stopping_patience))
    trainer = WalkTrainer(
        model=load_model(model_args), args=training_args, train_dataset=training,
        eval_dataset=evaluation if held.samples else None, processing_class=tokenizer,
        peft_config=get_peft_config(model_args), callbacks=callbacks, navigation=navigation,
        longest_first=data_args.longest_first,
    )  # fmt: skip
    record: dict[str, Any] = {"stage": "sft", "base": model_args.model_name_or_path, "data": facts}
    trainer.record = record
    train(trainer, training_args.resume_from_checkpoint, record, config)


def _print_estimate(training: SFTConfig, model: ModelConfig, counts: Counts, rows: int) -> None:
    if not PartialState().is_main_process:
        return
    setup = setup_of(training, model, counts.longest)
    tokens, length = total_tokens(training, counts.tokens, rows), counts.tokens / counts.samples
    for line in lines(model_config(model.model_name_or_path), setup, tokens, length):
        print(line, flush=True)


def _navigation(options: SFTArguments, tokenizer: PreTrainedTokenizerBase) -> NavigationEvaluation | None:
    if not options.navigation_questions:
        return None
    traces = options.navigation_traces
    # An even pick over the file: corpora list a video's questions together.
    questions = traces.questions(held=True)
    count = min(options.navigation_questions, len(questions))
    chosen = [questions[number * len(questions) // count] for number in range(count)]
    return NavigationEvaluation(chosen, traces.trees, tokenizer, options.navigation_turns, options.navigation_tokens)


if __name__ == "__main__":
    ended(main)
