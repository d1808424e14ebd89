"""Two-node training through Slurm: submitted with sbatch, finished; requeued, the same result."""

import hashlib
import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
LAUNCH = str(ROOT / "launch" / "accelerate" / "cpu_zero3.yaml")
STEPS = 10


def flags(traces, model, output, **more):
    options = {
        "data": traces, "model_name_or_path": model, "output_dir": output, "max_steps": STEPS, "save_steps": 2,
        "per_device_train_batch_size": 2, "logging_steps": 1, "bf16": "false", "eval_strategy": "no",
        "warmup_steps": 1, **more,
    }  # fmt: skip
    return [text for name, value in options.items() for text in (f"--{name}", str(value))]


def weights(folder):
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def losses(folder):
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {row["step"]: row["loss"] for row in rows if "loss" in row}


def submit_sft(slurm, folder, traces, base, output, **more):
    return slurm.submit(
        folder, "sft.sbatch", *flags(traces, base, output, **more), CONFIG=str(ROOT / "configs/sft/tiny_cpu.yaml"),
        LAUNCH=LAUNCH, PORT="29511",
    )  # fmt: skip


def test_sft_on_two_nodes_and_requeued_in_the_middle(slurm, traces, base, tmp_path):
    calm = tmp_path / "calm"
    slurm.finished(submit_sft(slurm, calm, traces, base, calm / "out"), 600)
    assert list(losses(calm / "out")) == list(range(1, STEPS + 1))
    said = next(calm.rglob("node-0.log")).read_text()
    assert "2 processes, DEEPSPEED ZeRO-3" in said, said
    assert not list(ROOT.glob(".deepspeed_env"))

    # No checkpoint but the one that the signal makes: only a training that was let save goes on.
    disturbed = tmp_path / "disturbed"
    job = submit_sft(slurm, disturbed, traces, base, disturbed / "out", save_steps=1000)
    slurm.until(lambda: (disturbed / "out" / "metrics.jsonl").is_file(), 400)
    slurm.run("scancel", "--batch", "--signal=USR1", job)
    (found,) = slurm.finished(job, 600)
    assert found["Restarts"] == "1", slurm.logs()
    assert "resuming from" in slurm.logs()
    assert losses(disturbed / "out") == losses(calm / "out")
    assert weights(disturbed / "out") == weights(calm / "out")


def test_every_rank_has_a_log(slurm, traces, base, tmp_path):
    job = submit_sft(slurm, tmp_path, traces, base, tmp_path / "out")
    slurm.finished(job, 600)
    ranks = sorted(str(path.relative_to(tmp_path / "logs")) for path in (tmp_path / "logs").rglob("stdout.log"))
    assert len(ranks) == 2
    assert {rank.split("/")[1] for rank in ranks} == {"ranks-of-node-0", "ranks-of-node-1"}


def test_grpo_waits_for_its_vision_server_and_trains(slurm, traces, base, tmp_path):
    """One node trains, the other plays the vision server: the stub, since there is no GPU."""
    server = tmp_path / "server.sh"
    server.write_text(f"cd {ROOT} && sleep 3 && exec python -m runtime.testing.caption_server --port $PORT\n")
    options = flags(
        traces, base, tmp_path / "out", max_steps=1, num_generations=2, max_completion_length=128,
        per_device_train_batch_size=4, max_tool_calling_iterations=2,
    )  # fmt: skip
    del options[options.index("--eval_strategy") : options.index("--eval_strategy") + 2]
    job = slurm.submit(
        tmp_path, "grpo.sbatch", *options, sbatch=("--nodes=2",), CONFIG=str(ROOT / "configs/grpo/tiny_cpu.yaml"),
        LAUNCH=str(ROOT / "launch/accelerate/cpu.yaml"), PORT="29512", TRAINER_NODES="1", POLICY_NODES="0",
        VISION_NODES="1", VISION="stub", VISION_SERVER=str(server), VISION_PORT="8177",
        # The small world has no videos to ask about.
        VISION_FLAG="", VISION_NAME_FLAG="",
    )  # fmt: skip
    slurm.finished(job, 600)
    said = next(tmp_path.glob("grpo-*.log")).read_text()
    assert "serves stub at http://127.0.0.1:8177" in said
    assert (tmp_path / "out" / "model.safetensors").is_file()


def test_grpo_whose_server_dies_ends_before_training(slurm, traces, base, tmp_path):
    server = tmp_path / "server.sh"
    server.write_text("echo no such model >&2; exit 3\n")
    job = slurm.submit(
        tmp_path, "grpo.sbatch", *flags(traces, base, tmp_path / "out"), sbatch=("--nodes=2",),
        CONFIG=str(ROOT / "configs/grpo/tiny_cpu.yaml"), LAUNCH=LAUNCH, TRAINER_NODES="1", POLICY_NODES="0",
        VISION_NODES="1", VISION="stub", VISION_SERVER=str(server), VISION_PORT="8178",
    )  # fmt: skip
    assert [each["JobState"] for each in slurm.wait(job)] == ["FAILED"]
    assert "no such model" in slurm.logs()
    assert not (tmp_path / "out").exists()
