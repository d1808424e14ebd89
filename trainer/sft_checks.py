"""Refuses SFT settings that contradict one another or are known to break, before anything is loaded."""

import os

from trl import SFTConfig

from navigation import InputError
from trainer.arguments import SFTArguments

SOURCE = "sft config"


def check(data: SFTArguments, training: SFTConfig) -> None:
    """Raises for the first setting that cannot work.

    Raises:
        InputError: the field, its value, and what to use instead.
    """
    if training.packing and training.packing_strategy != "bfd":
        mend = "use bfd: it keeps every walk whole and apart from the others"
        raise InputError(SOURCE, "packing_strategy", training.packing_strategy, mend)
    if training.assistant_only_loss:
        # The rows come with their labels; trl's option asks for raw messages.
        raise InputError(SOURCE, "assistant_only_loss", True, "leave it out: assistant turns alone are learned anyway")
    if not 0 <= data.whole_text_share <= 1:
        raise InputError(SOURCE, "whole_text_share", data.whole_text_share, "give a share from 0 to 1")
    for name in ("navigation_questions", "early_stopping_patience"):
        if getattr(data, name) < 0:
            raise InputError(SOURCE, name, getattr(data, name), "give 0 or more")
    metric = training.metric_for_best_model or ""
    if "navigation" in metric and not data.navigation_questions:
        raise InputError(SOURCE, "metric_for_best_model", metric, "set navigation_questions too: none are played")
    if data.navigation_questions:
        if training.eval_strategy == "no":
            raise InputError(SOURCE, "eval_strategy", "no", "set it to steps: questions are played at evaluations")
        if training.fsdp or _launched_with_fsdp():
            mend = "use 0 under FSDP and `clipscout eval` on the checkpoints: sharded weights cannot generate apart"
            raise InputError(SOURCE, "navigation_questions", data.navigation_questions, mend)
    if data.early_stopping_patience and (not metric or training.eval_strategy == "no"):
        mend = "set metric_for_best_model and eval_strategy too: there is nothing to wait for"
        raise InputError(SOURCE, "early_stopping_patience", data.early_stopping_patience, mend)


def _launched_with_fsdp() -> bool:
    return os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"
