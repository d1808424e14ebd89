"""The demo as a whole, killed on its way, and what it refuses."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from clipscout import demo
from navigation import InputError

ROOT = Path(__file__).parents[2]
SHORT = {
    "demo.yaml": {"corpus_questions": 120, "questions": 6, "held_out_share": 0.3},
    "sft/tiny_cpu.yaml": {"max_steps": 4, "save_steps": 2, "eval_strategy": "no", "lr_scheduler_kwargs": None,
                          "lr_scheduler_type": "constant", "per_device_train_batch_size": 4},
    "grpo/tiny_cpu.yaml": {"max_steps": 2, "save_steps": 1, "per_device_train_batch_size": 8, "num_generations": 4,
                           "max_completion_length": 96},
}  # fmt: skip


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with configs of a few steps, to run the demo in."""
    for name in ("configs", "launch"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name, changes in SHORT.items():
        path = tmp_path / "configs" / name
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def started(place):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.Popen(
        [sys.executable, "-m", "clipscout.main", "demo", "--out", "run"], cwd=place, env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


def killed_when(place, there):
    """Starts the demo and kills it with all that it started, as soon as `there` exists."""
    process = started(place)
    last = time.monotonic() + 600
    while not there.exists():
        assert process.poll() is None, process.stdout.read().decode()[-3000:]
        assert time.monotonic() < last
        os.sched_yield()
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.slow
def test_killed_in_training_and_in_evaluation_it_goes_on_to_a_whole_summary(place):
    run = place / "run"
    killed_when(place, run / "sft" / "checkpoint-2" / "trainer_state.json")
    trajectories = (run / "traces" / "trajectories.jsonl").stat().st_mtime_ns
    killed_when(place, run / "eval" / "grpo" / "settings.json")
    trained = (run / "grpo" / "model.safetensors").stat().st_mtime_ns
    process = started(place)
    said = process.communicate(timeout=900)[0].decode()
    assert process.returncode == 0, said[-3000:]
    assert "trajectories: done before" in said
    assert (run / "traces" / "trajectories.jsonl").stat().st_mtime_ns == trajectories
    assert (run / "grpo" / "model.safetensors").stat().st_mtime_ns == trained
    summary = json.loads((run / "summary.json").read_text())
    assert summary["policies"].keys() == demo.PLAYERS.keys()
    assert {policy["n"] for policy in summary["policies"].values()} == {6}
    assert {"sft"} <= set(summary["restarted"]) < set(summary["stage_seconds"])
    steps = [json.loads(line)["step"] for line in (run / "grpo" / "metrics.jsonl").read_text().splitlines()]
    assert sorted(set(steps)) == [0, 1, 2]  # 0: what it began from, on held-out questions
    assert "4 steps of 4 trajectories" in (run / "report.html").read_text()


@pytest.mark.parametrize("name", demo.READ)
def test_a_changed_config_is_refused(place, name, monkeypatch):
    monkeypatch.setattr(demo.Stages, "run", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        demo.run_demo(place / "run", 0)
    with pytest.raises(KeyboardInterrupt):
        demo.run_demo(place / "run", 0)
    with pytest.raises(InputError) as error:
        demo.run_demo(place / "run", 1)
    assert error.value.field == "settings"
    with open(place / "configs" / name, "a") as file:
        file.write("# another recipe\n")
    with pytest.raises(InputError) as error:
        demo.run_demo(place / "run", 0)
    assert error.value.field == "settings"
