"""Refuses GRPO settings that are known to break or to mislead, before anything is loaded."""

from accelerate.state import PartialState
from trl import GRPOConfig, ModelConfig

from navigation import InputError


def check(training: GRPOConfig, model: ModelConfig, processes: int | None = None) -> None:
    """Raises for the first setting that trl accepts and that does not work with tool-calling episodes.

    Args:
        processes: How many processes train; default: as launched.

    Raises:
        InputError: the field, its value, and what to use instead.
    """
    processes = PartialState().num_processes if processes is None else processes
    source = "grpo config"
    if training.max_tool_calling_iterations is None:
        raise InputError(source, "max_tool_calling_iterations", None, "set a limit, for example 15: None is unlimited")
    if training.use_vllm and training.vllm_mode == "server" and processes > 1:
        raise InputError(
            source, "vllm_mode", "server",
            "use colocate: with tools on several processes, server mode returns other processes' completions or hangs",
        )  # fmt: skip
    if (training.top_p or 1.0) < 1.0:
        raise InputError(source, "top_p", training.top_p, "use 1.0: filtered sampling biases the importance ratios")
    if training.top_k:
        raise InputError(source, "top_k", training.top_k, "use 0: filtered sampling biases the importance ratios")
    if training.use_vllm and training.vllm_importance_sampling_mode == "sequence_mask":
        raise InputError(
            source, "vllm_importance_sampling_mode", "sequence_mask",
            "use token_truncate: over thousands of tokens sequence_mask silences long rollouts",
        )  # fmt: skip
    zero3 = training.deepspeed_plugin is not None and training.deepspeed_plugin.zero_stage == 3
    if zero3 and not training.use_vllm and not training.ds3_gather_for_generation:
        raise InputError(
            source, "ds3_gather_for_generation", False,
            "set it to true, or generate with vLLM: transformers cannot generate from partitioned weights",
        )  # fmt: skip
