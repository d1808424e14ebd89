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


SYNC = [
    ({"max_tool_calling_iterations": None}, {}, 1, None, "max_tool_calling_iterations", "unlimited", "14"),
    ({"top_p": 0.9}, {}, 1, None, "top_p", "biases the importance ratios", "1.0"),
    ({"top_k": 20}, {}, 1, None, "top_k", "biases the importance ratios", "use 0"),
    ({"min_p": 0.1}, {}, 1, None, "min_p", "biases importance ratios", "leave it out"),
    (VLLM | {"vllm_mode": "server"}, {}, 2, None, "vllm_mode", "other processes' completions or hangs", "colocate"),
    (VLLM | {"vllm_importance_sampling_mode": "sequence_mask"}, {}, 1, None, "vllm_importance_sampling_mode",
     "silences", "token_truncate"),
    (VLLM | {"vllm_importance_sampling_mode": "sequence_truncate"}, {}, 1, None, "vllm_importance_sampling_mode",
     "silences", "token_truncate"),
    ({"ds3_gather_for_generation": False}, {}, 2, 3, "ds3_gather_for_generation", "partitioned weights", "true"),
    ({}, {"cached_rollouts": False}, 2, 3, "cached_rollouts", "wait for each other for ever", "vLLM"),
    ({}, {"tool_threads": 0}, 1, None, "tool_threads", "0", "at least 1"),
]  # fmt: skip


@pytest.mark.parametrize(("training", "own", "processes", "stage", "field", "reason", "substitute"), SYNC)
def test_sync_refusals(tmp_path, training, own, processes, stage, field, reason, substitute):
    config = options(tmp_path, **training)
    config.deepspeed_plugin = zero(stage) if stage else None
    with pytest.raises(InputError) as error:
        check(GRPOArguments(data="here", **own), config, ModelConfig(model_name_or_path="x"), processes)
    text = str(error.value)
    assert field in text
    assert reason in text
    assert substitute in text


@pytest.mark.parametrize(
    ("training", "own", "model", "stage", "field", "substitute"),
    [
        ({"max_tool_calling_iterations": None}, {}, {}, None, "max_tool_calling_iterations", "14"),
        ({"top_k": 5}, {}, {}, None, "top_k", "use 0"),
        ({}, {}, {}, 2, "deepspeed", "FSDP2"),
        ({}, {"reward": {"visit_cost": {"target": 4.0}}}, {}, None, "visit_cost.target", "leave it out"),
        ({}, {}, {"load_in_4bit": True}, None, "load_in_4bit", "leave it out"),
        ({"use_liger_kernel": True}, {}, {}, None, "use_liger_kernel", "chunked head"),
        ({"eval_strategy": "steps", "eval_steps": 5}, {}, {}, None, "eval_strategy", "clipscout eval"),
    ],
)
def test_async_refusals(tmp_path, training, own, model, stage, field, substitute):
    config = options(tmp_path, AsyncGRPOConfig, **({"use_liger_kernel": False} | training))
    config.deepspeed_plugin = zero(stage) if stage else None
    with pytest.raises(InputError) as error:
        check(GRPOArguments(data="here", engine="async", **own), config, ModelConfig("x", **model), 1)
    assert field in str(error.value)
    assert substitute in str(error.value)


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
    longest = check_prompts(questions, folder.trees, tokenizer, short, model)
    lengths = [
        check_prompts(questions.select([row]), folder.trees, tokenizer, short, model) for row in range(len(questions))
    ]
    assert longest >= 0.95 * max(lengths), "the most characters are about the most tokens"
    with pytest.raises(InputError) as error:
        check_prompts(questions, folder.trees, tokenizer, options(tmp_path, max_completion_length=2000), model)
    assert f"set max_completion_length to at most {2048 - longest}" in str(error.value)
    assert "max_position_embeddings is 2048" in str(error.value)
    served = options(tmp_path, max_completion_length=64, vllm_max_model_length=100, **VLLM)
    with pytest.raises(InputError, match="vllm_max_model_length is 100"):
        check_prompts(questions, folder.trees, tokenizer, served, model)


def test_the_policy_server_s_context_counts_as_well(base, traces, tmp_path):
    folder, tokenizer = TracesFolder(traces), load_tokenizer(str(base))
    model, questions = ModelConfig(model_name_or_path=str(base)), folder.rl_dataset(held=False)
    stub = PolicyStub(longest=300)
    there = options(tmp_path, AsyncGRPOConfig, max_completion_length=280, vllm_server_base_url=stub.url)
    try:
        with pytest.raises(InputError, match=r"max_completion_length.*max_model_len of the policy server .* is 300"):
            check_prompts(questions, folder.trees, tokenizer, there, model)
    finally:
        stub.close()
    # A server that is not up yet refuses nothing: the engine asks again when it answers.
    assert check_prompts(questions, folder.trees, tokenizer, there, model) < 300


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EpisodeMasks.from_config({"answered": "masked"}), "episodes.answered.*out_of_turns"),
        (lambda: EpisodeMasks.from_config({"failed": "skipped"}), "episodes.failed.*masked or penalised"),
        (lambda: EpisodeMasks.from_config(["failed"]), "mapping"),
        (lambda: Alarms({"entropi": {"least": 0}}, "x"), "entropi.*did you mean 'entropy'"),
        (lambda: Alarms({"calls": {"lest": 0}}, "x"), "calls.*least, most, drop"),
        (lambda: Alarms({"calls": {"least": "a"}}, "x"), "calls.least.*number"),
        (lambda: Alarms({"window": 0}, "x"), "window.*at least 1"),
        (lambda: RolloutRecorder("x", "some"), "record_rollouts.*all, extremes, none"),
    ],
)
def test_wrong_options_name_the_mend(make, message):
    with pytest.raises(InputError, match=message):
        make()
