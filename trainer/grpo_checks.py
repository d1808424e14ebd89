"""What a run of GRPO is told besides trl's own options, and which settings are refused before anything is loaded."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from accelerate.state import PartialState
from datasets import Dataset
from transformers import PreTrainedTokenizerBase
from trl import ModelConfig

from navigation import DEFAULT_TOOLS, InputError, tool_schemas
from runtime.fetch import Unreachable
from trainer.arguments import DataArguments
from trainer.checkpoint import model_name
from trainer.estimate import model_config
from trainer.server_watch import Served


@dataclass
class GRPOArguments(DataArguments):
    """GRPO's own: the engine, the reward mix, which episodes teach, what is kept and when a run stops itself."""

    engine: str = field(
        default="sync",
        metadata={
            "help": "Who generates, and when: sync (this process, then it learns) or async (a vLLM server, "
            "all the time).",
            "choices": ["sync", "async"],
        },
    )
    reward: dict | None = field(
        default=None, metadata={"help": "Reward mix: a mapping of parts, as rewards.RewardMix.from_config takes it."}
    )
    judge: dict | None = field(
        default=None,
        metadata={
            "help": "Who judges answers in words that rules cannot decide: a mapping as rewards.judge.JudgeSettings "
            "takes it (url, model, votes, max_usd, …). Default: nobody, those answers are wrong."
        },
    )
    episodes: dict | None = field(
        default=None,
        metadata={
            "help": "What becomes of episodes by status: a mapping from out_of_tokens, out_of_turns, unparsable, "
            "failed to masked or penalised. Default: failed is masked, the others are penalised."
        },
    )
    train_questions: int | None = field(
        default=None, metadata={"help": "Train on at most this many questions; the first by a hash of their ids."}
    )
    held_out_questions: int = field(
        default=64, metadata={"help": "Questions of held-out videos to evaluate on, where eval_strategy says when."}
    )
    alarms: dict | None = field(
        default=None,
        metadata={"help": "When to stop a collapsing run: a mapping as trainer.alarms.Alarms takes it."},
    )
    probe_questions: int | None = field(
        default=None,
        metadata={
            "help": "Ask for the first turn of this many questions before training, and say if none can be read; 0 "
            "asks none. Default: 8 where the model's record names no training of ours. engine sync, one process."
        },
    )
    record_rollouts: str = field(
        default="extremes",
        metadata={"help": "Which training rollouts to keep under <output_dir>/rollouts: all, extremes or none."},
    )
    cached_rollouts: bool = field(
        default=True, metadata={"help": "Keep the key-value cache between turns where transformers generates."}
    )
    shared_prompts: bool = field(
        default=True,
        metadata={"help": "Run a prompt once for its whole group in the loss, in one process without checkpointing."},
    )
    server_log: str | None = field(
        default=None,
        metadata={"help": "engine async: the file of the vLLM server's output; its last lines are shown when it dies."},
    )
    max_turn_tokens: int | None = field(
        default=None,
        metadata={
            "help": "Most tokens of one assistant message; one that is cut ends its episode as out_of_tokens. Default: "
            "what is left of max_completion_length."
        },
    )
    tool_threads: int = field(default=64, metadata={"help": "Most episodes whose tool calls run at the same time."})
    clip_url: str | None = field(
        default=None,
        metadata={
            "help": "Endpoint of the vision model that answers `video_qa`; default: the trees' timed lines do. "
            "Its key, if any, comes from OPENAI_API_KEY."
        },
    )
    clip_model: str | None = field(default=None, metadata={"help": "The vision model's name there."})
    clip_request: str = field(
        default="default",
        metadata={"help": "How requests to it are written: a preset of docs/endpoints.md, or a file."},
    )
    videos: str | None = field(default=None, metadata={"help": "Folder of video files, <video_id>.<suffix>."})
    clips_in_flight: int = field(
        default=64, metadata={"help": "Most questions to the vision model at once, a process."}
    )


SOURCE = "grpo config"
SERVER_ROOM = "max_model_len of the policy server (MAX_MODEL_LEN of launch/vllm_policy.sh)"


def check(data: GRPOArguments, training: Any, model: ModelConfig, processes: int | None = None) -> None:
    """Raises for the first setting that trl accepts and that does not work with tool-calling episodes.

    Args:
        training: trl's own options: `GRPOConfig`, or `AsyncGRPOConfig` where `data.engine` is async.
        processes: How many processes train; default: as launched.

    Raises:
        InputError: the field, its value, why not, and what to use instead.
    """
    processes = PartialState().num_processes if processes is None else processes
    _check_both(data, training)
    if data.engine == "async":
        _check_async(data, training, model)
    else:
        _check_sync(data, training, processes)


def _check_both(data: GRPOArguments, training: Any) -> None:
    if training.max_tool_calling_iterations is None:
        raise InputError(SOURCE, "max_tool_calling_iterations", None, "set a limit, for example 14: None is unlimited")
    if not training.temperature > 0:
        hint = "use 1.0: without sampling all episodes of a group are the same, and nothing is learned"
        raise InputError(SOURCE, "temperature", training.temperature, hint)
    if (training.top_p or 1.0) < 1.0:
        raise InputError(SOURCE, "top_p", training.top_p, "use 1.0: filtered sampling biases the importance ratios")
    if training.top_k:
        raise InputError(SOURCE, "top_k", training.top_k, "use 0: filtered sampling biases the importance ratios")
    if training.min_p:
        raise InputError(SOURCE, "min_p", training.min_p, "leave it out: filtered sampling biases importance ratios")
    for name, least in (("tool_threads", 1), ("max_turn_tokens", 1), ("train_questions", 1), ("held_out_questions", 0)):
        value = getattr(data, name)
        if value is not None and value < least:
            raise InputError(SOURCE, name, value, f"give at least {least}, or leave it out")


def _check_sync(data: GRPOArguments, training: Any, processes: int) -> None:
    for name in ("metric_for_best_model", "load_best_model_at_end"):
        if getattr(training, name):
            hint = "leave it out: the final model is the best of the held-out questions by accuracy and visits already"
            raise InputError(SOURCE, name, getattr(training, name), hint)
    if training.use_vllm and training.vllm_mode == "server" and processes > 1:
        raise InputError(
            SOURCE,
            "vllm_mode",
            "server",
            "use colocate, or engine: async: with tools on several processes, server mode returns other processes' "
            "completions or hangs",
        )
    if training.use_vllm and training.vllm_importance_sampling_mode.startswith("sequence"):
        raise InputError(
            SOURCE,
            "vllm_importance_sampling_mode",
            training.vllm_importance_sampling_mode,
            "use token_truncate: over thousands of tokens one ratio a sequence silences long rollouts",
        )
    if _zero_stage(training) == 3 and not training.use_vllm:
        if not training.ds3_gather_for_generation:
            raise InputError(
                SOURCE,
                "ds3_gather_for_generation",
                False,
                "set it to true, or generate with vLLM: transformers cannot generate from partitioned weights",
            )
        if not data.cached_rollouts:
            raise InputError(
                SOURCE,
                "cached_rollouts",
                False,
                "set it to true, or generate with vLLM: trl gathers ZeRO-3 weights every turn, and processes whose "
                "episodes have different numbers of turns wait for each other for ever",
            )
    if training.use_transformers_continuous_batching:
        raise InputError(
            SOURCE,
            "use_transformers_continuous_batching",
            True,
            "leave it out: kept caches are faster, and it does not end on CPU",
        )


def _check_async(data: GRPOArguments, training: Any, model: ModelConfig) -> None:
    if _zero_stage(training):
        raise InputError(
            SOURCE,
            "deepspeed",
            f"ZeRO-{_zero_stage(training)}",
            "launch with FSDP2 (launch/accelerate/node_fsdp2.yaml): the asynchronous trainer gathers its weights from "
            "DTensors only",
        )
    if training.use_liger_kernel:
        raise InputError(SOURCE, "use_liger_kernel", True, "leave it out: the asynchronous trainer has a chunked head")
    for name in ("load_in_4bit", "load_in_8bit"):
        if getattr(model, name):
            raise InputError(SOURCE, name, True, "leave it out: the asynchronous trainer loads the weights itself")
    if training.eval_strategy != "no":
        raise InputError(
            SOURCE,
            "eval_strategy",
            str(getattr(training.eval_strategy, "value", training.eval_strategy)),
            "leave it out with engine: async, whose trainer plays no held-out questions and keeps no best checkpoint: "
            "run `clipscout eval --policy local --model <output_dir>/checkpoint-N` on the ones it saved",
        )
    target = ((data.reward or {}).get("visit_cost") or {}).get("target")
    if target is not None:
        raise InputError(
            SOURCE,
            "reward.visit_cost.target",
            target,
            "leave it out with engine: async: rewards are made in another process, where the weight cannot be steered",
        )


def _zero_stage(training: Any) -> int:
    return training.deepspeed_plugin.zero_stage if training.deepspeed_plugin is not None else 0


def check_prompts(
    questions: Dataset,
    tokenizer: PreTrainedTokenizerBase,
    training: Any,
    model: ModelConfig,
    tools: Sequence[str] = DEFAULT_TOOLS,
) -> int:
    """Whether the largest tree's prompt leaves room for an episode.

    A server that does not answer yet is asked again when training begins.

    Returns:
        Tokens of that prompt, tool schemas included.

    Raises:
        InputError: the prompt, or prompt and budget together, are more than the model or the server holds.
    """
    name, tokens = longest_prompt(questions, tokenizer, tools)
    room, field = model_config(model_name(model)).max_position_embeddings, "max_position_embeddings"
    served = getattr(training, "vllm_max_model_length", None) if getattr(training, "use_vllm", False) else None
    if served is not None and served < room:
        room, field = served, "vllm_max_model_length"
    check_room(name, tokens, training.max_completion_length, room, field)
    url = getattr(training, "vllm_server_base_url", None)
    if url is not None:
        with contextlib.suppress(Unreachable):
            check_room(name, tokens, training.max_completion_length, Served.ask(url).longest, SERVER_ROOM)
    return tokens


def longest_prompt(
    questions: Dataset, tokenizer: PreTrainedTokenizerBase, tool_names: Sequence[str] = DEFAULT_TOOLS
) -> tuple[str, int]:
    """Id and tokens of the longest prompt, tool schemas included.

    Only the question whose prompt has the most characters is tokenized.
    """
    longest = max(questions, key=lambda row: len(row["prompt"][-1]["content"]))
    prompt = longest["prompt"]
    tools: list[Any] = tool_schemas(tool_names)
    ids = tokenizer.apply_chat_template(prompt, tools=tools, add_generation_prompt=True, return_dict=False)
    return longest["id"], len(ids)


def check_room(name: str, tokens: int, budget: int, room: int, field: str) -> None:
    """Raises when a prompt and the tokens after it are more than a model or server holds.

    Args:
        name: The question with the prompt.
        tokens: Tokens of the prompt.
        budget: Tokens after it.
        room: Tokens that are held.
        field: What says so.

    Raises:
        InputError: they do not fit.
    """
    if tokens + budget > room:
        fits = f"set max_completion_length to at most {room - tokens}, or " if tokens < room else ""
        raise InputError(
            SOURCE,
            "max_completion_length",
            budget,
            f"{fits}make a model or server that holds more: the prompt of {name!r} has {tokens} tokens, and {field} is "
            f"{room}",
        )
