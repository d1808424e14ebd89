"""Supervised fine-tuning on walks: every assistant turn of a trajectory in one pass, nothing else supervised.

accelerate launch -m trainer.sft --config configs/sft/tiny_cpu.yaml [--flag value …]
"""

import sys
from collections.abc import Sequence

from datasets import Dataset
from transformers import PreTrainedTokenizerBase
from trl import ModelConfig, SFTConfig, SFTTrainer, get_peft_config

from navigation import InputError
from navigation.protocol import template_hash
from trainer.arguments import SFTArguments
from trainer.checkpoint import load_model, load_tokenizer
from trainer.config import parse
from trainer.metrics_log import MetricsLog
from trainer.progress import quiet_unless_watched
from trainer.run import describe_run, train


def tokenize(
    dataset: Dataset, tokenizer: PreTrainedTokenizerBase, longest: int | None, whole_text_share: float = 0.0
) -> tuple[Dataset, int]:
    """Token ids and the mask of what is supervised.

    Args:
        longest: Longest sample in tokens; a longer one is dropped whole, never cut inside a call.
        whole_text_share: Share of rows whose every token is supervised, 0 to 1.

    Returns:
        Rows of `input_ids` and `assistant_masks`, and how many samples were too long.

    Raises:
        InputError: a sample has no supervised token: the template marks no assistant turn.
    """

    def encode(row: dict) -> dict:
        encoded = tokenizer.apply_chat_template(
            row["messages"], tools=row["tools"], return_dict=True, return_assistant_tokens_mask=True
        )
        return {"input_ids": encoded["input_ids"], "assistant_masks": encoded["assistant_masks"]}

    rows = dataset.map(encode, remove_columns=dataset.column_names, desc="Tokenizing")
    for number, mask in enumerate(rows["assistant_masks"]):
        if not any(mask):
            raise InputError("dataset", f"row {number}", "no supervised token", "its messages need an assistant turn")
    if whole_text_share:

        def supervise(row: dict, number: int) -> dict:
            chosen = int((number + 1) * whole_text_share) > int(number * whole_text_share)  # evenly spread
            return {"assistant_masks": [1] * len(row["input_ids"])} if chosen else row

        rows = rows.map(supervise, with_indices=True, desc="Supervising whole texts")
    kept = rows.filter(lambda row: longest is None or len(row["input_ids"]) <= longest, desc="Measuring")
    return kept, len(rows) - len(kept)


def main(arguments: Sequence[str] | None = None) -> None:
    quiet_unless_watched()
    data_args, training_args, model_args = parse((SFTArguments, SFTConfig, ModelConfig), arguments)
    tokenizer = load_tokenizer(model_args.model_name_or_path)
    traces = data_args.traces
    training, dropped = tokenize(
        traces.sft_dataset(held=False), tokenizer, training_args.max_length, data_args.whole_text_share
    )
    held = traces.sft_dataset(held=True)
    evaluation = tokenize(held, tokenizer, training_args.max_length)[0] if len(held) else None
    facts = {
        "trajectories": len(training), "held out": len(held), "too long": dropped,
        "tokens": sum(map(len, training["input_ids"])), "supervised": sum(map(sum, training["assistant_masks"])),
        "template": template_hash(tokenizer.chat_template),
    }  # fmt: skip
    describe_run("sft", facts, data_args, training_args, model_args, folder=training_args.output_dir)
    if data_args.dry_run:
        return
    # The rows come tokenized with their masks, which trl folds into the labels; the option asks for raw messages.
    training_args.assistant_only_loss = False
    trainer = SFTTrainer(
        model=load_model(model_args), args=training_args, train_dataset=training, eval_dataset=evaluation,
        processing_class=tokenizer, peft_config=get_peft_config(model_args),
        callbacks=[MetricsLog(training_args.output_dir)],
    )  # fmt: skip
    train(trainer, training_args.resume_from_checkpoint)


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(f"error: {error}")
