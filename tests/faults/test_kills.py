"""SIGKILL at random moments in every stage: nothing lost, nothing twice, the result of an undisturbed run."""

import hashlib
import json
import time

import pytest
from fault_tools import ROOT, Command

from trainer.checkpoint import INCOMPLETE

KILLS = 3
SEGMENTS = 14
IN_FLIGHT = 4


def captions(clips, out, stub):
    return Command(
        "clipscout.main", "captions", "--videos", clips, "--out", out, "--url", stub.address, "--model", "stub",
        "--frames", "2,3,4", "--sides", "64,48,32", "--minimum-width", "2", "--in-flight", IN_FLIGHT, "--quiet",
    )  # fmt: skip


def teacher(corpus, stub):
    return Command(
        "clipscout.main", "teacher", "--data", corpus, "--url", stub.address, "--model", "stub", "--temperature", "0",
        "--in-flight", IN_FLIGHT, "--quiet",
    )  # fmt: skip


def training(stage, traces, model, out, **more):
    options = {
        "data": traces, "model_name_or_path": model, "output_dir": out, "max_steps": 6, "save_steps": 2,
        "logging_steps": 1, "warmup_steps": 1, **more,
    }  # fmt: skip
    flags = [text for name, value in options.items() for text in (f"--{name}", value)]
    return Command(f"trainer.{stage}", "--config", ROOT / "configs" / stage / "tiny_cpu.yaml", *flags)


def sft(traces, base, out):
    return training("sft", traces, base, out, per_device_train_batch_size=2, bf16="false", eval_strategy="no")


def grpo(traces, base, out):
    return training(
        "grpo", traces, base, out, per_device_train_batch_size=4, num_generations=2, max_completion_length=160,
        max_tool_calling_iterations=3,
    )  # fmt: skip


def evaluation(traces, server, out):
    return Command(
        "clipscout.main", "eval", "--policy", "endpoint", "--url", server.address, "--model", "stub",
        "--data", traces, "--out", out, "--in-flight", IN_FLIGHT,
    )  # fmt: skip


def files(folder, pattern):
    return {path.relative_to(folder): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob(pattern)}


def whole(folder):
    """Every JSON file under its final name is whole, whenever one looks."""
    for path in folder.rglob("*.json"):
        if not path.name.startswith("."):
            json.loads(path.read_text())


def saved(checkpoint):
    """Whether a checkpoint is whole: its mark stands from before its first file to after its last."""
    return (checkpoint / "trainer_state.json").is_file() and not (checkpoint / INCOMPLETE).exists()


def timed(command):
    begun = time.monotonic()
    end = command.run()
    assert end.code == 0, end.said
    return time.monotonic() - begun


def test_captions(clips, stub, tmp_path, chance, count):
    calm = stub("captions", "--latency", "0.2")
    seconds = timed(captions(clips, tmp_path / "calm", calm))
    server = stub("captions", "--latency", "0.2")
    out = tmp_path / "out"
    killed, end = captions(clips, out, server).survive(KILLS, chance, (out / ".run" / "settings.json").is_file, seconds)
    assert end.code == 0, end.said
    assert files(out, "*.json") == files(tmp_path / "calm", "*.json")
    again = server.stats()["requests"] - 2 * SEGMENTS
    assert 0 <= again <= killed * IN_FLIGHT
    count("captions", kills=killed, repeated_requests=again)


def test_traces(corpus, traces, stub, tmp_path, chance, count):
    calm = tmp_path / "calm"
    calm.mkdir()
    (calm / "questions.jsonl").write_bytes((corpus / "questions.jsonl").read_bytes())
    (calm / "trees").symlink_to(traces / "trees")
    seconds = timed(teacher(calm, stub("teacher", corpus, "--latency", "0.1")))
    server = stub("teacher", corpus, "--latency", "0.1")
    begun = (corpus / ".run" / "teacher" / "settings.json").is_file
    killed, end = teacher(corpus, server).survive(KILLS, chance, begun, seconds)
    assert end.code == 0, end.said
    trajectories = (corpus / "trajectories.jsonl").read_bytes()
    assert trajectories == (calm / "trajectories.jsonl").read_bytes()
    ids = [json.loads(line)["id"] for line in trajectories.splitlines()]
    assert len(ids) == len(set(ids)) == 12
    stats = server.stats()
    assert stats["paid_twice"] <= killed * IN_FLIGHT
    count("traces", kills=killed, repeated_requests=stats["paid_twice"])


def test_dataset(traces, tmp_path, chance, count):
    def command(out):
        return Command("clipscout.main", "dataset", "--data", traces, "--out", out)

    calm, out = tmp_path / "calm", tmp_path / "out"
    seconds = timed(command(calm))
    killed, end = command(out).survive(KILLS + 2, chance, lambda: True, seconds)
    assert end.code == 0, end.said
    whole(out)
    assert files(out, "*/*.parquet") == files(calm, "*/*.parquet")
    assert len(files(out, "*/*.parquet")) == 4
    count("dataset", kills=killed)


def test_evaluation(traces, tmp_path, chance, count):
    def command(out):
        return Command("clipscout.main", "eval", "--policy", "retrieval", "--visits", 4, "--data", traces, "--out", out)

    calm, out = tmp_path / "calm", tmp_path / "out"
    seconds = timed(command(calm))
    killed, end = command(out).survive(KILLS, chance, lambda: True, seconds)
    assert end.code == 0, end.said
    whole(out)
    assert (out / "trajectories.jsonl").read_bytes() == (calm / "trajectories.jsonl").read_bytes()
    assert len((out / "trajectories.jsonl").read_bytes().splitlines()) == 60
    count("evaluation", kills=killed)


@pytest.mark.parametrize(("stage", "command"), [("sft", sft), ("grpo", grpo)])
def test_training(stage, command, traces, base, tmp_path, chance, count):
    calm, out = tmp_path / "calm", tmp_path / "out"
    seconds = timed(command(traces, base, calm))
    run = command(traces, base, out)
    run.killed_when((out / "resolved_config.yaml").is_file)
    said = run.killed_when(lambda: saved(out / "checkpoint-2"))
    assert "resuming from" not in said, said
    said = run.killed_when(lambda: saved(out / "checkpoint-4"))
    assert "resuming from" in said, said
    killed, end = run.survive(1, chance, lambda: True, seconds / 2)  # two steps are left
    assert end.code == 0, end.said
    assert "resuming from" in end.said, end.said
    assert files(out, "model.safetensors") == files(calm, "model.safetensors")
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "loss" in row] == list(range(1, 7)), rows
    count(stage, kills=killed + 3, ends_that_were_resumed=2)
