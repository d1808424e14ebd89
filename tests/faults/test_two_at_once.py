"""The same job twice at once: the second is refused with a word about the first, and a dead one refuses nobody."""

import pytest
from fault_tools import Command, kill, until
from test_kills import captions, evaluation, grpo, sft, teacher


def both(first, second_command, begun):
    """Starts one, waits until it is at work, runs the other to its end; returns the end and the first's process."""
    until(lambda: begun() or first.poll() is not None)
    assert first.poll() is None, first.communicate()[0]
    return second_command.run()


def refused(end, who):
    assert end.code in (1, 2), end.said
    assert "Traceback" not in end.said
    assert f"held by process {who}" in end.said or "open in another process" in end.said, end.said


def test_captions(clips, stub, tmp_path, count):
    server, out = stub("captions", "--latency", "60"), tmp_path / "out"
    first = captions(clips, out, server).start()
    refused(both(first, captions(clips, out, server), lambda: server.stats()["requests"]), first.pid)
    kill(first)
    quick = stub("captions")
    assert captions(clips, out, quick).run().code == 0
    count("two at once", refused=1, not_held_by_the_dead=1)


def test_traces(corpus, stub, count):
    server = stub("teacher", corpus, "--latency", "60")
    first = teacher(corpus, server).start()
    refused(both(first, teacher(corpus, server), lambda: server.stats()["requests"]), first.pid)
    kill(first)
    assert teacher(corpus, stub("teacher", corpus)).run().code == 0
    count("two at once", refused=1, not_held_by_the_dead=1)


def test_evaluation(traces, tmp_path, stub, count):
    server, out = stub("captions", "--latency", "60"), tmp_path / "out"
    command = evaluation(traces, server, out)
    first = command.start()
    refused(both(first, command, lambda: server.stats()["requests"]), first.pid)
    kill(first)
    # Nobody holds it now: the same command gets as far as asking again.
    asked = server.stats()["requests"]
    third = command.start()
    until(lambda: server.stats()["requests"] > asked or third.poll() is not None)
    assert third.poll() is None, third.communicate()[0]
    kill(third)
    count("two at once", refused=1, not_held_by_the_dead=1)


@pytest.mark.parametrize("stage", [sft, grpo])
def test_training(stage, traces, base, tmp_path, count):
    out = tmp_path / "out"
    long = stage(traces, base, out)
    # Without logs no alarm rings, which would end a policy that never calls a tool.
    long.arguments += ["--max_steps", "100000", "--logging_steps", "100000"]
    first = long.start()
    lock = out / ".lock"
    refused(both(first, stage(traces, base, out), lambda: lock.is_file() and lock.read_text().strip()), first.pid)
    kill(first)
    assert stage(traces, base, tmp_path / "other").run().code == 0
    end = long.start()
    until(lambda: str(end.pid) in lock.read_text() or end.poll() is not None)
    assert end.poll() is None, end.communicate()[0]
    kill(end)
    count("two at once", refused=1, not_held_by_the_dead=1)


def test_dataset_twice_at_once_writes_one_whole_set(traces, tmp_path, count):
    """Two exports need no lock: each file appears whole, and both write the same."""
    command = Command("clipscout.main", "dataset", "--data", traces, "--out", tmp_path / "out")
    first, second = command.start(), command.start()
    for child in (first, second):
        said, _ = child.communicate(timeout=900)
        assert child.returncode == 0, said
    import datasets

    assert datasets.load_dataset(str(tmp_path / "out"), "sft", split="train").num_rows > 0
    assert not list((tmp_path / "out").rglob("*.tmp"))
    count("two at once", same_set=1)
