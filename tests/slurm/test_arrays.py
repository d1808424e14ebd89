"""Captions and traces as Slurm arrays: submitted with sbatch, finished, and the same as without Slurm."""

import json
import sys
import urllib.request
from pathlib import Path

import pytest

from data_gen.captions import CaptionJob, CaptionSettings
from data_gen.captions.run import Pace
from data_gen.frames import FrameRecipe
from data_gen.teacher import TeacherJob, TeacherSettings
from runtime import EndpointSettings
from runtime.ranked_run import run_ranks

pytestmark = pytest.mark.slow
SEGMENTS = 14
SMALL = CaptionSettings(model="stub", recipe=FrameRecipe((2, 3, 4), (64, 48, 32)), minimum_width=2)
FLAGS = ("--frames", "2,3,4", "--sides", "64,48,32", "--minimum-width", "2", "--in-flight", "2")


def stats(address):
    return json.loads(urllib.request.urlopen(f"{address}/stats").read())


def trees(out):
    return {path.name: path.read_bytes() for path in out.glob("*.json")}


@pytest.fixture
def local_trees(clips, stub, tmp_path):
    endpoint = EndpointSettings(stub("captions"), "stub", 4)
    run_ranks(CaptionJob(clips, tmp_path / "local", SMALL, endpoint, Pace(4)), quiet=True)
    return trees(tmp_path / "local")


def test_caption_array_makes_the_trees_of_a_local_run(slurm, stub, clips, tmp_path, local_trees):
    address, out = stub("captions"), tmp_path / "trees"
    job = slurm.submit(
        tmp_path, "captions.sbatch", *FLAGS, sbatch=("--array=0-1",),
        VIDEOS=str(clips), OUT=str(out), MODEL="stub", VISION_URL=address,
    )  # fmt: skip
    assert len(slurm.finished(job)) == 2
    assert trees(out) == local_trees
    assert stats(address)["requests"] == 3 * SEGMENTS


def test_caption_array_that_is_requeued_goes_on(slurm, stub, clips, tmp_path, local_trees):
    address, out = stub("captions", "--latency", "0.7"), tmp_path / "trees"
    job = slurm.submit(
        tmp_path, "captions.sbatch", *FLAGS, sbatch=("--array=0-1",),
        VIDEOS=str(clips), OUT=str(out), MODEL="stub", VISION_URL=address,
    )  # fmt: skip
    slurm.until(lambda: stats(address)["answered"] >= 8)
    for task in (0, 1):
        slurm.run("scancel", "--batch", "--signal=USR1", f"{job}_{task}")
    found = slurm.finished(job)
    assert [each["Restarts"] for each in found] == ["1", "1"], slurm.logs()
    assert trees(out) == local_trees
    assert stats(address)["requests"] <= 3 * SEGMENTS + 2 * 2
    assert "start 1 of job" in slurm.logs()


def test_captions_through_datatrove(slurm, stub, clips, tmp_path, local_trees):
    """`--executor slurm`: the command submits its own array."""
    address, out = stub("captions"), tmp_path / "trees"
    command = [
        sys.executable, "-m", "clipscout.main", "captions", "--videos", str(clips), "--out", str(out),
        "--url", address, "--model", "stub",
        *FLAGS, "--tasks", "2", "--executor", "slurm", "--partition", "cpu",
        "--venv", str(Path(sys.prefix) / "bin" / "activate"), "--decoding", "1",
    ]  # fmt: skip
    slurm.folder = tmp_path
    assert "submitted" in slurm.run(*command, PYTHONPATH=slurm.environment["CLIPSCOUT"])
    jobs = set(slurm.run("squeue", "--noheader", "--format=%F").split())
    assert len(jobs) == 2  # the array, and datatrove's job that sums statistics up
    for job in jobs:
        slurm.finished(job)
    assert trees(out) == local_trees


def test_trace_array_writes_the_episodes_of_a_local_run(slurm, stub, corpus, tmp_path):
    address = stub("teacher", str(corpus), "--latency", "0.02")
    job = slurm.submit(
        tmp_path, "traces.sbatch", "--temperature", "0", "--in-flight", "4", sbatch=("--array=0-1",),
        CORPUS=str(corpus), MODEL="stub", TEACHER_URL=address,
    )  # fmt: skip
    slurm.finished(job)
    command = ("clipscout", "teacher", "--data", str(corpus), "--url", address, "--model", "stub", "--temperature", "0")
    assert "12 of 12" in slurm.run(*command, "--tasks", "2", "--check")
    by_slurm = (corpus / "trajectories.jsonl").read_bytes()
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "questions.jsonl").write_bytes((corpus / "questions.jsonl").read_bytes())
    (alone / "trees").symlink_to(corpus / "trees")
    settings = TeacherSettings("stub", temperature=0.0)
    assert run_ranks(TeacherJob(alone, settings, EndpointSettings(address, "stub", 4)), quiet=True).complete
    assert (alone / "trajectories.jsonl").read_bytes() == by_slurm


def test_a_share_that_fails_ends_as_failed_and_says_why(slurm, stub, tmp_path, clips):
    address = stub("captions")
    job = slurm.submit(
        tmp_path, "captions.sbatch", *FLAGS, "--strategy", "nonsense", sbatch=("--array=0-0",),
        VIDEOS=str(clips), OUT=str(tmp_path / "trees"), MODEL="stub", VISION_URL=address,
    )  # fmt: skip
    assert [each["JobState"] for each in slurm.wait(job)] == ["FAILED"]
    assert "strategy is 'nonsense'" in slurm.logs()
