"""The asynchronous engine with full weights, its server a stub: what it asks for, and what it refuses."""

import contextlib

import pytest
import torch
from trl.experimental.async_grpo import AsyncGRPOConfig, async_grpo_trainer, async_rollout_worker, packing

from navigation import EnvironmentFactory, InputError
from rewards import RewardMix
from rewards.trl_functions import Batch
from runtime.fetch import Unreachable
from tests.trainer.grpo.policy_stub import PolicyStub
from trainer.async_engine import AsyncNavigationTrainer, Served
from trainer.checkpoint import load_tokenizer
from trainer.data import TracesFolder
from trainer.recorder import MetricsLog, read_metrics
from trainer.rollout_metrics import EpisodeMasks

TURNS, TOKENS = 3, 96


class NoTransfer:
    """In the place of the NCCL connection: the server keeps what it has."""

    def __init__(self, **options):
        pass

    def __getattr__(self, name):
        return lambda *arguments, **options: None


@pytest.fixture
def server():
    with contextlib.ExitStack() as stack:
        yield lambda *arguments, **options: stack.enter_context(PolicyStub(*arguments, **options))


@pytest.fixture
def make_engine(base, traces, tmp_path, monkeypatch):
    # What `prepare_for_cpu` puts in place is taken back at the end.
    for module, name in (
        (async_grpo_trainer, "get_peak_flops_per_device"), (async_rollout_worker, "is_vllm_available"),
        (packing, "_flash_attn"),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, getattr(module, name))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(async_grpo_trainer, "WeightTransferClient", NoTransfer)

    def make(url, masks=None, callbacks=(), **options):
        folder = TracesFolder(traces)
        defaults = {
            "output_dir": str(tmp_path / "run"), "use_cpu": True, "bf16": False, "dtype": "float32",
            "report_to": "none", "gradient_checkpointing": False, "num_generations": 4,
            "per_device_train_batch_size": 4, "gradient_accumulation_steps": 1, "max_completion_length": TOKENS,
            "max_tool_calling_iterations": TURNS - 1, "max_steps": 2, "logging_steps": 1, "disable_tqdm": True,
            "save_strategy": "no", "token_budget": 1024, "vllm_server_base_url": url, "max_inflight_tasks": 8,
        }  # fmt: skip
        return AsyncNavigationTrainer(
            model=str(base), args=AsyncGRPOConfig(**(defaults | options)), train_dataset=folder.rl_dataset(held=False),
            processing_class=load_tokenizer(str(base)), environment_factory=EnvironmentFactory(folder.trees),
            batch=Batch(RewardMix.from_config(None), turns=TURNS, tokens=TOKENS), masks=masks or EpisodeMasks(),
            recorder=None, callbacks=[MetricsLog(str(tmp_path / "run")), *callbacks],
        )  # fmt: skip

    return make


def test_episodes_are_played_by_the_server_s_name_and_within_its_context(server, make_engine):
    stub = server(longest=777, adapters=["clipscout-old-v3"])
    engine = make_engine(stub.url)
    engine._fit(Served.ask(stub.url))
    options = engine.rollout_worker._loop_kwargs
    assert (options["model_name"], options["longest"]) == ("policy", 777)


@pytest.mark.slow
def test_a_run_asks_for_the_server_s_own_name(server, make_engine, base, tmp_path):
    """launch/vllm_policy.sh serves the checkpoint as `policy`; its folder's name is answered with 404."""
    tokenizer = load_tokenizer(str(base))
    turn = tokenizer("<think>\n\n</think>\n\n<answer>B</answer><|im_end|>", add_special_tokens=False)["input_ids"]
    stub = server(turn, adapters=["clipscout-old-v3"])
    make_engine(stub.url).train()
    assert set(stub.asked) == {"policy"}
    steps = [row for row in read_metrics(tmp_path / "run" / "metrics.jsonl") if "reward" in row]
    assert [row["step"] for row in steps] == [1, 2]
    assert steps[0]["status/answered"] == 1.0


def test_a_server_with_too_short_a_context_is_refused_before_the_first_episode(server, make_engine):
    stub = server(longest=TOKENS)
    engine = make_engine(stub.url)
    with pytest.raises(InputError) as error:
        engine.train()
    assert error.value.field == "max_completion_length"
    assert "max_model_len" in error.value.hint
    assert not stub.asked


def test_what_a_server_says_of_itself(server):
    assert Served.ask(server(adapters=["a"], longest=77).url) == Served("policy", 77)
    nothing = server()
    nothing.listed = lambda: iter(())
    with pytest.raises(Unreachable) as error:
        Served.ask(nothing.url)
    assert error.value.url == f"{nothing.url}/v1/models"
