"""Bytes that are no longer what was written: said by name, or made again; never taken for what they were."""

import json
import shutil

import pytest
from fault_tools import Command
from test_kills import SEGMENTS, captions, files, grpo, sft


def spoil(path, chance, share=0.3):
    """Overwrites a part in the middle."""
    data = bytearray(path.read_bytes())
    length = max(1, int(len(data) * share))
    begin = (len(data) - length) // 2
    data[begin : begin + length] = chance.randbytes(length)
    path.write_bytes(data)


def test_the_tail_of_a_journal(clips, stub, tmp_path, chance, count):
    """Cut in the middle of a line, overwritten, or followed by noise: what is whole is kept, the rest asked again."""
    server, out = stub("captions"), tmp_path / "out"
    assert captions(clips, out, server).run().code == 0
    before = files(out, "*.json")
    for damage in ("cut", "noise", "overwritten"):
        asked = server.stats()["requests"]
        for tree in out.glob("*.json"):
            tree.unlink()
        for journal in (out / ".run" / "journals").glob("*.jsonl"):
            data = journal.read_bytes()
            lines = data.splitlines(keepends=True)
            last = lines[-1]
            end = {
                "cut": last[: len(last) // 2], "noise": last + chance.randbytes(200),
                "overwritten": last[:20] + b"\0" * (len(last) - 21) + b"\n",
            }[damage]  # fmt: skip
            journal.write_bytes(b"".join(lines[:-1]) + end)
        end = captions(clips, out, server).run()
        assert end.code == 0, end.said
        assert files(out, "*.json") == before
        again = server.stats()["requests"] - asked
        assert again <= (0 if damage == "noise" else 2)  # at most the last caption of each video
    assert server.stats()["requests"] <= 2 * SEGMENTS + 4
    count("corruption", journals=6)


def test_the_first_line_of_a_journal_is_refused_by_name(clips, stub, tmp_path, chance, count):
    server, out = stub("captions"), tmp_path / "out"
    assert captions(clips, out, server).run().code == 0
    journal = out / ".run" / "journals" / "one.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(chance.randbytes(30).replace(b"\n", b" ") + b"\n" + b"".join(lines[1:]))
    (out / "one.json").unlink()
    asked = server.stats()["requests"]
    end = captions(clips, out, server).run()
    assert end.code == 1
    assert "one.jsonl" in end.said
    assert "Traceback" not in end.said
    assert server.stats()["requests"] == asked
    count("corruption", refused=1)


def evaluate(traces, out):
    return Command("clipscout.main", "eval", "--policy", "exhaustive", "--data", traces, "--out", out)


@pytest.mark.parametrize("damage", ["spoiled", "cut", "another video"])
def test_a_tree(traces, tmp_path, chance, count, damage):
    own = tmp_path / "traces"
    shutil.copytree(traces, own)
    one, other = sorted((own / "trees").glob("*.json"))[:2]
    if damage == "spoiled":
        spoil(one, chance)
    elif damage == "cut":
        one.write_bytes(one.read_bytes()[:500])
    else:
        one.write_bytes(other.read_bytes())
    end = evaluate(own, tmp_path / "out").run()
    assert "Traceback" not in end.said, end.said
    assert end.code != 0 or _failures(tmp_path / "out"), end.said
    assert one.name in end.said or one.name in (tmp_path / "out" / "trajectories.jsonl").read_text()
    count("corruption", trees=1)


def _failures(out):
    rows = [json.loads(line) for line in (out / "trajectories.jsonl").read_text().splitlines()]
    return [row for row in rows if row["status"] == "failed"]


@pytest.mark.parametrize("command", [sft, grpo])
@pytest.mark.parametrize("damage", ["unfinished", "cut state"])
def test_a_checkpoint_that_was_not_finished_is_passed_over(traces, base, tmp_path, count, command, damage):
    calm = tmp_path / "calm"
    assert command(traces, base, calm).run().code == 0
    out = tmp_path / "out"
    shutil.copytree(calm, out)
    (out / "model.safetensors").unlink()
    newest = max(out.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    if damage == "unfinished":
        (newest / "trainer_state.json").unlink()
    else:
        state = newest / "trainer_state.json"
        state.write_bytes(state.read_bytes()[:40])
    end = command(traces, base, out).run()
    assert end.code == 0, end.said
    assert f"resuming from {newest}\n" not in end.said
    assert files(out, "model.safetensors") == files(calm, "model.safetensors")
    count("corruption", checkpoints_passed_over=1)


@pytest.mark.parametrize("spoiled", ["the newest", "all"])
def test_weights_that_are_no_weights_are_named(traces, base, tmp_path, count, spoiled):
    calm, out = tmp_path / "calm", tmp_path / "out"
    assert sft(traces, base, calm).run().code == 0
    shutil.copytree(calm, out)
    (out / "model.safetensors").unlink()
    checkpoints = sorted(out.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    assert len(checkpoints) > 1
    for checkpoint in checkpoints[-1:] if spoiled == "the newest" else checkpoints:
        path = checkpoint / "model.safetensors"
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    end = sft(traces, base, out).run()
    assert "Traceback" not in end.said, end.said
    assert f"{checkpoints[-1] / 'model.safetensors'} cannot be read" in end.said, end.said
    if spoiled == "the newest":
        assert end.code == 0, end.said
        assert f"resuming from {checkpoints[-2]}\n" in end.said
        assert files(out, "model.safetensors") == files(calm, "model.safetensors")
    else:
        assert end.code == 1, end.said
        assert "model.safetensors" in end.error, end.said
        assert "delete them to begin again" in end.error, end.said
        assert not (out / "model.safetensors").exists()
    count("corruption", weights_named=1)
