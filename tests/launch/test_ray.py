"""Captions and navigates on a real Ray cluster of two machines (two raylets on this one), and what a kill does to
them."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data_gen.teacher import TeacherJob, TeacherSettings
from runtime import EndpointSettings
from runtime.ranked_run import run_ranks

pytest.importorskip("ray", reason="pip install -e '.[ray]'")
pytestmark = pytest.mark.slow
SEGMENTS = 14


@pytest.fixture(scope="module")
def cluster():
    """Address of a cluster of two raylets with one CPU each."""
    from ray.cluster_utils import Cluster

    made = Cluster()
    for _ in range(2):
        made.add_node(num_cpus=1, memory=3 * 2**30, object_store_memory=80 * 2**20, include_dashboard=False)
    yield made.address
    made.shutdown()


@pytest.fixture(autouse=True)
def ray_address(cluster, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", cluster)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))


def start(clips, out, address, tasks=2):
    command = [
        sys.executable, "-m", "clipscout.main", "captions", "--videos", str(clips), "--out", str(out),
        "--url", address, "--model", "stub",
        "--frames", "2,3,4", "--sides", "64,48,32", "--minimum-width", "2", "--in-flight", "4", "--decoding", "1",
        "--executor", "ray", "--tasks", str(tasks), "--quiet",
    ]  # fmt: skip
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def trees(out):
    return {path.name: path.read_bytes() for path in out.glob("*.json")}


def rank_holders(out):
    """Process ids that hold a rank's lock now, by rank."""
    found = {}
    for path in (out / ".run").glob("rank-*.lock"):
        text = path.read_text()
        if text.strip():
            found[path.stem] = json.loads(text)["pid"]
    return found


def alive(pid):
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


async def until(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.02)


async def ended(child, seconds=240):
    said, errors = await asyncio.wait_for(asyncio.to_thread(child.communicate), seconds)
    return child.returncode, said, errors


@pytest.fixture
async def calm(stubs, caption_job, tmp_path):
    """Trees of an undisturbed local run."""
    _, address = await stubs()
    job = caption_job(address, tmp_path / "calm")
    await asyncio.to_thread(run_ranks, job, quiet=True)
    return trees(job.out)


async def test_captions_on_ray_are_those_of_a_local_run(stubs, clips, tmp_path, calm):
    server, address = await stubs()
    code, said, errors = await ended(start(clips, tmp_path / "out", address))
    assert code == 0, said + errors
    assert trees(tmp_path / "out") == calm
    assert server.stats["requests"] == 3 * SEGMENTS


async def test_episodes_on_ray_are_those_of_a_local_run(stubs, corpus, tmp_path):
    _, address = await stubs(corpus)
    job = TeacherJob(corpus, TeacherSettings("stub", temperature=0.0), EndpointSettings(address, "stub", 4), tasks=2)
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "questions.jsonl").write_bytes((corpus / "questions.jsonl").read_bytes())
    (alone / "trees").symlink_to(corpus / "trees")
    command = [
        sys.executable, "-m", "clipscout.main", "teacher", "--data", str(corpus), "--url", address, "--model", "stub",
        "--temperature", "0", "--in-flight", "4", "--executor", "ray", "--tasks", "2", "--quiet",
    ]  # fmt: skip
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    code, said, errors = await ended(child)
    assert code == 0, said + errors
    local = TeacherJob(alone, job.settings, job.endpoint)
    assert (await asyncio.to_thread(run_ranks, local, quiet=True)).complete
    assert (corpus / "trajectories.jsonl").read_bytes() == (alone / "trajectories.jsonl").read_bytes()


async def test_a_killed_worker_is_replaced_and_nothing_is_lost(stubs, clips, tmp_path, calm):
    server, address = await stubs(latency=0.5)
    out = tmp_path / "out"
    child = start(clips, out, address)
    await until(lambda: server.stats["answered"] >= 6 and rank_holders(out))
    # The lock's holder is the process that does the work: there is no child behind it.
    (killed, *_) = rank_holders(out).values()
    assert subprocess.run(["pgrep", "-P", str(killed)], capture_output=True).stdout == b""
    os.kill(killed, signal.SIGKILL)
    code, said, errors = await ended(child)
    assert code == 0, said + errors
    assert trees(out) == calm
    assert not alive(killed)
    assert server.stats["requests"] <= 3 * SEGMENTS + 4
    assert not any(alive(pid) for pid in rank_holders(out).values())


async def test_workers_end_with_the_command_that_started_them(stubs, clips, tmp_path, calm):
    server, address = await stubs(latency=0.5)
    out = tmp_path / "out"
    child = start(clips, out, address)
    await until(lambda: server.stats["answered"] >= 4 and rank_holders(out))
    working = list(rank_holders(out).values())
    child.kill()
    child.wait()
    await until(lambda: not any(alive(pid) for pid in working), 60)
    asked = server.stats["requests"]
    code, said, errors = await ended(start(clips, out, address))
    assert code == 0, said + errors
    assert trees(out) == calm
    assert server.stats["requests"] <= 3 * SEGMENTS + 4
    assert server.stats["requests"] - asked <= 3 * SEGMENTS


async def test_more_than_any_machine_has_is_refused_at_once(stubs, clips, tmp_path):
    _, address = await stubs()
    command = start(clips, tmp_path / "out", address)
    command.kill()
    from navigation import InputError
    from runtime import run_step
    from runtime.ranked_run import RankStep

    def run():
        run_step("ray", RankStep(None), 2, tmp_path / "logs", cpus_per_task=64)

    with pytest.raises(InputError) as error:
        await asyncio.to_thread(run)
    assert error.value.field == "cluster"
    import ray

    ray.shutdown()
