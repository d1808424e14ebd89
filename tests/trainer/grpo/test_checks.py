"""Every refusal names the field, what is wrong with its value, and what to use instead."""

from types import SimpleNamespace

import pytest
from trl import GRPOConfig, ModelConfig
from trl.experimental.async_grpo import AsyncGRPOConfig

from navigation import InputError
from tests.trainer.grpo.policy_stub import PolicyStub
from trainer.alarms import Alarms
from trainer.checkpoint import load_tokenizer
from trainer.data import TracesFolder
from trainer.grpo_checks import GRPOArguments, check, check_prompts
from trainer.recorder import RolloutRecorder
from trainer.rollout_metrics import EpisodeMasks

VLLM = {"use_vllm": True, "vllm_mode": "colocate", "vllm_importance_sampling_mode": "token_truncate"}


def zero(stage):
    return SimpleNamespace(zero_stage=stage)


def options(tmp_path, kind=GRPOConfig, **values):
    return kind(
        **({"output_dir": str(tmp_path), "use_cpu": True, "bf16": False, "max_tool_calling_iterations": 5} | values)
    )


RATIOS = "vllm_importance_sampling_mode"
SYNC = [
    # trl's options, our options, processes, ZeRO stage, the field that is refused, what the hint names instead
    ({"max_tool_calling_iterations": None}, {}, 1, None, "max_tool_calling_iterations", "14"),
    ({"top_p": 0.9}, {}, 1, None, "top_p", "1.0"),
    ({"top_k": 20}, {}, 1, None, "top_k", "use 0"),
    ({"min_p": 0.1}, {}, 1, None, "min_p", "leave it out"),
    (VLLM | {"vllm_mode": "server"}, {}, 2, None, "vllm_mode", "colocate"),
    (VLLM | {RATIOS: "sequence_mask"}, {}, 1, None, RATIOS, "token_truncate"),
    (VLLM | {RATIOS: "sequence_truncate"}, {}, 1, None, RATIOS, "token_truncate"),
    ({"ds3_gather_for_generation": False}, {}, 2, 3, "ds3_gather_for_generation", "true"),
    ({}, {"cached_rollouts": False}, 2, 3, "cached_rollouts", "vLLM"),
    ({}, {"tool_threads": 0}, 1, None, "tool_threads", "at least 1"),
    ({}, {"max_turn_tokens": 0}, 1, None, "max_turn_tokens", "at least 1"),
    ({}, {"train_questions": 0}, 1, None, "train_questions", "at least 1"),
    ({}, {"held_out_questions": -3}, 1, None, "held_out_questions", "at least 0"),
    ({"metric_for_best_model": "eval_accuracy"}, {}, 1, None, "metric_for_best_model", "leave it out"),
]


@pytest.mark.parametrize(("training", "own", "processes", "stage", "field", "substitute"), SYNC)
def test_sync_refusals(tmp_path, training, own, processes, stage, field, substitute):
    config = options(tmp_path, **training)
    config.deepspeed_plugin = zero(stage) if stage else None
    with pytest.raises(InputError) as error:
        check(GRPOArguments(data="here", **own), config, ModelConfig(model_name_or_path="x"), processes)
    assert (error.value.field, error.value.value) == (field, (training | own)[field])
    assert substitute in error.value.hint


@pytest.mark.parametrize(
    ("training", "own", "model", "stage", "field", "value", "substitute"),
    [
        ({"max_tool_calling_iterations": None}, {}, {}, None, "max_tool_calling_iterations", None, "14"),
        ({"top_k": 5}, {}, {}, None, "top_k", 5, "use 0"),
        ({}, {}, {}, 2, "deepspeed", "ZeRO-2", "FSDP2"),
        ({}, {"reward": {"visit_cost": {"target": 4.0}}}, {}, None, "reward.visit_cost.target", 4.0, "leave it out"),
        ({}, {}, {"load_in_4bit": True}, None, "load_in_4bit", True, "leave it out"),
        ({"use_liger_kernel": True}, {}, {}, None, "use_liger_kernel", True, "chunked head"),
        ({"eval_strategy": "steps", "eval_steps": 5}, {}, {}, None, "eval_strategy", "steps", "clipscout eval"),
    ],
)
def test_async_refusals(tmp_path, training, own, model, stage, field, value, substitute):
    config = options(tmp_path, AsyncGRPOConfig, **({"use_liger_kernel": False} | training))
    config.deepspeed_plugin = zero(stage) if stage else None
    with pytest.raises(InputError) as error:
        check(GRPOArguments(data="here", engine="async", **own), config, ModelConfig("x", **model), 1)
    assert (error.value.field, error.value.value) == (field, value)
    assert substitute in error.value.hint


def test_what_works_is_let_through(tmp_path):
    model = ModelConfig(model_name_or_path="x")
    check(GRPOArguments(data="here"), options(tmp_path), model, processes=2)
    check(GRPOArguments(data="here"), options(tmp_path, **VLLM), model, processes=8)
    zero3 = options(tmp_path)
    zero3.deepspeed_plugin = zero(3)
    check(GRPOArguments(data="here"), zero3, model, processes=2)
    check(GRPOArguments(data="here", engine="async"), options(tmp_path, AsyncGRPOConfig), model, processes=2)


def test_the_largest_tree_s_prompt_has_to_fit(base, traces, tmp_path):
    folder, tokenizer = TracesFolder(traces), load_tokenizer(str(base))
    model = ModelConfig(model_name_or_path=str(base))
    questions = folder.rl_dataset(held=False)
    short = options(tmp_path, max_completion_length=64)
    longest = check_prompts(questions, tokenizer, short, model)
    lengths = [check_prompts(questions.select([row]), tokenizer, short, model) for row in range(len(questions))]
    assert longest >= 0.95 * max(lengths), "the most characters are about the most tokens"
    with pytest.raises(InputError) as error:
        check_prompts(questions, tokenizer, options(tmp_path, max_completion_length=2000), model)
    assert (error.value.field, error.value.value) == ("max_completion_length", 2000)
    assert f"set max_completion_length to at most {2048 - longest}" in error.value.hint
    assert "max_position_embeddings is 2048" in error.value.hint
    served = options(tmp_path, max_completion_length=64, vllm_max_model_length=100, **VLLM)
    with pytest.raises(InputError) as error:
        check_prompts(questions, tokenizer, served, model)
    assert error.value.field == "max_completion_length"
    assert "vllm_max_model_length is 100" in error.value.hint


def test_the_policy_server_s_context_counts_as_well(base, traces, tmp_path):
    folder, tokenizer = TracesFolder(traces), load_tokenizer(str(base))
    model, questions = ModelConfig(model_name_or_path=str(base)), folder.rl_dataset(held=False)
    with PolicyStub(longest=300) as stub:
        there = options(tmp_path, AsyncGRPOConfig, max_completion_length=280, vllm_server_base_url=stub.url)
        with pytest.raises(InputError) as error:
            check_prompts(questions, tokenizer, there, model)
    assert (error.value.field, error.value.value) == ("max_completion_length", 280)
    assert "max_model_len" in error.value.hint
    # A server that is not up yet refuses nothing: the engine asks again when it answers.
    assert check_prompts(questions, tokenizer, there, model) < 300


@pytest.mark.parametrize(
    ("make", "field", "hint"),
    [
        (lambda: EpisodeMasks.from_config({"answered": "masked"}), "episodes.answered", "out_of_turns"),
        (lambda: EpisodeMasks.from_config({"failed": "skipped"}), "episodes.failed", "masked or penalised"),
        (lambda: EpisodeMasks.from_config(["failed"]), "episodes", "mapping"),
        (lambda: Alarms({"entropi": {"least": 0}}, "x"), "alarms.entropi", "did you mean 'entropy'"),
        (lambda: Alarms({"calls": {"lest": 0}}, "x"), "alarms.calls", "least, most, drop"),
        (lambda: Alarms({"calls": {"least": "a"}}, "x"), "alarms.calls.least", "number"),
        (lambda: Alarms({"window": 0}, "x"), "alarms.window", "at least 1"),
        (lambda: Alarms({"reward": {"drop": float("nan")}}, "x"), "alarms.reward.drop", "number"),
        (lambda: Alarms({"kl": {"most": 0.1}}, "x"), "alarms.kl", "beta"),
        (lambda: Alarms([1], "x"), "alarms", "window"),
        (lambda: RolloutRecorder("x", "some"), "record_rollouts", "all, extremes, none"),
    ],
)
def test_wrong_options_name_the_fix(make, field, hint):
    with pytest.raises(InputError) as error:
        make()
    assert error.value.field == field
    assert hint in error.value.hint
