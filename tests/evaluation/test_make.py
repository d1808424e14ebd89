"""Where `make eval` writes when it is not told."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="no make on this machine")


def out_of(target, *given, **environment):
    """The --out of the command that make would run."""
    kept = {name: value for name, value in os.environ.items() if name not in ("OUT", "CORPUS", "POLICY", "BENCHMARK")}
    printed = subprocess.run(
        ["make", "-n", target, *given], cwd=ROOT, env=kept | environment, capture_output=True, text=True, check=True
    ).stdout.split()
    return printed[printed.index("--out") + 1]


def test_results_lie_neither_with_episodes_nor_with_another_policys():
    assert out_of("traces") == "runs/small_world"
    outs = [out_of("eval"), out_of("eval", "POLICY=random"), out_of("eval", "BENCHMARK=nextgqa", "POLICY=random")]
    assert outs == [f"runs/eval/{name}" for name in ("small_world-retrieval", "small_world-random", "nextgqa-random")]


def test_what_is_told_holds():
    assert out_of("eval", "OUT=runs/mine") == "runs/mine"
    assert out_of("eval", OUT="runs/mine") == "runs/mine"


def test_help_lists_every_target_in_the_order_of_the_work():
    said = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    listed = [line.split()[0] for line in said.splitlines()]
    phony = (ROOT / "Makefile").read_text().split(".PHONY: ")[1].split("\n\n")[0].replace("\\\n", " ").split()
    assert listed == phony
    work = ["setup", "doctor", "questions", "captions", "traces", "dataset", "sft", "rl", "eval", "test", "clean"]
    assert [name for name in listed if name in work] == work


def test_the_old_name_of_the_model_is_refused():
    done = subprocess.run(["make", "-n", "merge", "CHECKPOINT=x"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode
    assert "MODEL" in done.stderr


def test_training_is_the_command_that_a_user_would_type():
    for target, stage in (("sft", "sft"), ("rl", "grpo")):
        done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True)
        assert f"-m clipscout.main {stage} --config configs/{stage}/tiny_cpu.yaml" in done.stdout
