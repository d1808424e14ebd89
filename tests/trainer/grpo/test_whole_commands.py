"""Runs as their own processes: killed without a word, and parted over two processes by ZeRO-3."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.trainer.grpo.vllm_environment import process_wait
from trainer.recorder import read_metrics, read_rollouts

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent
ROOT = HERE.parents[2]
ENVIRONMENT = os.environ | {
    "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONPATH": str(ROOT),
    # DeepSpeed compiles its CPU operator with the environment's ninja.
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
}  # fmt: skip
STEPS = 4


def command(model, traces, output):
    return [
        sys.executable, "-m", "trainer.grpo", "--config", "configs/grpo/tiny_cpu.yaml", "--data", str(traces),
        "--model_name_or_path", str(model), "--output_dir", str(output), "--max_steps", str(STEPS), "--save_steps", "1",
        "--save_total_limit", "10", "--per_device_train_batch_size", "16", "--max_completion_length", "256",
        "--max_tool_calling_iterations", "4", "--record_rollouts", "all",
    ]  # fmt: skip


def test_a_run_killed_without_a_word_ends_in_the_same_weights(navigator, traces, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run(command(navigator, traces, whole), cwd=ROOT, env=ENVIRONMENT, check=True, timeout=1800)
    process = subprocess.Popen(command(navigator, traces, killed), cwd=ROOT, env=ENVIRONMENT)
    deadline = time.monotonic() + 1800
    while not (killed / "checkpoint-2" / "trainer_state.json").is_file():
        assert process.poll() is None
        assert time.monotonic() < deadline
        process_wait(process, 0.01)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=60)
    assert not (killed / "model.safetensors").exists()
    subprocess.run(command(navigator, traces, killed), cwd=ROOT, env=ENVIRONMENT, check=True, timeout=1800)
    mine, theirs = load_file(killed / "model.safetensors"), load_file(whole / "model.safetensors")
    assert all((mine[name] == theirs[name]).all() for name in theirs)
    steps = [row["step"] for row in read_metrics(killed / "metrics.jsonl") if "reward" in row]
    assert steps == list(range(1, STEPS + 1))
    assert read_rollouts(killed) == read_rollouts(whole)


def test_two_processes_of_zero3_train_as_one(navigator, traces, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    arguments = [str(HERE / "parted_run.py"), str(navigator), str(traces)]
    subprocess.run(
        [sys.executable, *arguments, str(one), "2", "8"], cwd=ROOT, env=ENVIRONMENT, check=True, timeout=1800
    )
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", "launch/accelerate/cpu_zero3.yaml"]
    subprocess.run([*launch, *arguments, str(two), "2", "8"], cwd=ROOT, env=ENVIRONMENT, check=True, timeout=1800)
    alone, parted = (json.loads((folder / "facts.json").read_text()) for folder in (one, two))
    assert (alone["processes"], parted["processes"]) == (1, 2)
    assert parted["kind"].endswith("DEEPSPEED")
    for mine, theirs in zip(alone["log"], parted["log"], strict=True):
        for name in ("reward", "visits", "accuracy", "completions/mean_length", "equal_groups"):
            assert mine[name] == pytest.approx(theirs[name], abs=1e-6), name
        assert mine["entropy"] == pytest.approx(theirs["entropy"], abs=1e-4)
        assert mine["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=1e-3)
    weights, theirs = load_file(one / "model.safetensors"), load_file(two / "model.safetensors")
    begun = load_file(Path(navigator) / "model.safetensors")
    moved = max((weights[name] - begun[name]).abs().max().item() for name in theirs)
    assert moved > 1e-3, "two steps at 1e-3 move some weight by about twice that"
    for name, value in theirs.items():
        # Adam turns a difference in the last digit of a gradient near 0 into one of the size of a step.
        close = torch.isclose(weights[name], value.to(weights[name].dtype), atol=1e-5).float().mean()
        assert close > 0.99, name
