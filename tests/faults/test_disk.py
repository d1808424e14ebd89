"""A disk that is full: the run ends with a word about it, keeps what it had, and goes on when there is room."""

import json
import shutil

import pytest
from fault_tools import Command, until
from test_kills import IN_FLIGHT, SEGMENTS, captions, files, grpo, sft, teacher

FULL = ("No space left", "could not be saved")


def says_full(end):
    assert end.code != 0, end.said
    assert any(word in end.said for word in FULL), end.said


def test_captions(clips, stub, small_disk, tmp_path, count):
    calm = stub("captions")
    assert captions(clips, tmp_path / "calm", calm).run().code == 0
    server, out = stub("captions", "--latency", "0.5"), small_disk.folder / "out"
    child = captions(clips, out, server).start()
    until(lambda: server.stats()["answered"] >= 4 or child.poll() is not None)
    small_disk.fill(0)
    said, _ = child.communicate(timeout=900)
    assert child.returncode in (1, 2), said
    assert "No space left" in said, said
    assert "Traceback" not in said
    kept = server.stats()["answered"]
    small_disk.free()
    assert captions(clips, out, server).run().code == 0
    assert files(out, "*.json") == files(tmp_path / "calm", "*.json")
    assert server.stats()["requests"] <= 2 * SEGMENTS + 2 * IN_FLIGHT
    count("full disk", captions_stopped=1, captions_kept=kept)


def test_traces(corpus, stub, small_disk, count):
    server = stub("teacher", corpus, "--latency", "0.3")
    folder = small_disk.folder / "corpus"
    folder.mkdir()
    shutil.copy(corpus / "questions.jsonl", folder)
    (folder / "trees").symlink_to(corpus / "trees")
    child = teacher(folder, server).start()
    until(lambda: server.stats()["answered"] >= 6 or child.poll() is not None)
    small_disk.fill(0)
    said, _ = child.communicate(timeout=900)
    assert child.returncode != 0, said
    assert "No space left" in said, said
    assert "Traceback" not in said, said
    small_disk.free()
    assert teacher(folder, server).run().code == 0
    ids = [json.loads(line)["id"] for line in (folder / "trajectories.jsonl").read_text().splitlines()]
    assert len(ids) == len(set(ids)) == 12
    count("full disk", traces_stopped=1)


def test_evaluation(traces, small_disk, tmp_path, count):
    def command(out):
        return Command("clipscout.main", "eval", "--policy", "exhaustive", "--data", traces, "--out", out)

    assert command(tmp_path / "calm").run().code == 0
    out = small_disk.folder / "out"
    small_disk.fill(200_000)
    end = command(out).run()
    says_full(end)
    assert "Traceback" not in end.said, end.said
    small_disk.free()
    assert command(out).run().code == 0
    assert (out / "trajectories.jsonl").read_bytes() == (tmp_path / "calm" / "trajectories.jsonl").read_bytes()
    count("full disk", evaluations_stopped=1)


def test_dataset(traces, small_disk, tmp_path, count):
    small_disk.fill(8_000)
    out = small_disk.folder / "out"
    end = Command("clipscout.main", "dataset", "--data", traces, "--out", out).run()
    says_full(end)
    assert "Traceback" not in end.said, end.said
    assert not list(out.rglob("*.parquet"))
    small_disk.free()
    assert Command("clipscout.main", "dataset", "--data", traces, "--out", out).run().code == 0
    assert len(list(out.rglob("*.parquet"))) == 4
    count("full disk", datasets_stopped=1)


@pytest.mark.parametrize("stage", [sft, grpo])
def test_training_keeps_its_last_good_checkpoint(stage, traces, base, small_disk, tmp_path, count):
    calm = tmp_path / "calm"
    assert stage(traces, base, calm).run().code == 0
    out = small_disk.folder / "out"
    one = next(calm.glob("checkpoint-*"))
    weight = sum(path.stat().st_size for path in one.rglob("*") if path.is_file())
    small_disk.fill(int(1.5 * weight))  # room for one checkpoint and a half
    end = stage(traces, base, out).run()
    says_full(end)
    assert "Traceback" not in end.said, end.said
    assert "checkpoint-2" in end.error or "last good checkpoint" in end.said, end.said
    small_disk.free()
    end = stage(traces, base, out).run()
    assert end.code == 0, end.said
    assert "resuming from" in end.said
    assert files(out, "model.safetensors") == files(calm, "model.safetensors")
    count("full disk", trainings_stopped=1)
