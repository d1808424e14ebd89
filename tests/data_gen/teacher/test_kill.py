"""SIGKILL at random moments: nothing that was finished is paid for again, and the end is that of an unbroken run."""

import asyncio
import json
import random
import signal
import sys

import pytest

from benchmarks.teacher_server import Manners

KILLS = 20
IN_FLIGHT = 8
LAUNCH = """
import sys
from pathlib import Path
from runtime import EndpointSettings
from data_gen.teacher import Pace, TeacherJob, TeacherSettings
from runtime.ranked_run import run_ranks
folder, url = Path(sys.argv[1]), sys.argv[2]
endpoint = EndpointSettings(url, "gpt-4o-mini", 8)
print("begun", flush=True)
job = TeacherJob(folder, TeacherSettings("gpt-4o-mini", samples=3), endpoint, pace=Pace(8, 16))
report = run_ranks(job, quiet=True)
sys.exit(0 if report.complete else 1)
"""


async def start(folder, url):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LAUNCH, str(folder), url, stdout=asyncio.subprocess.PIPE
    )
    await process.stdout.readline()
    return process


def lines(path):
    return max(0, path.read_bytes().count(b"\n") - 1) if path.is_file() else 0


@pytest.mark.slow
async def test_twenty_kills_pay_for_nothing_twice_and_end_as_an_unbroken_run(world):
    manners = Manners(wrong=0.3, nonsense=0.05)
    calls = world.job("http://x/v1").rank_folder(0) / "calls.jsonl"
    chance, lost, kills = random.Random(0), 0, 0
    async with world.served(manners, latency=0.02) as (stub, url):
        while kills < KILLS:
            answered = stub.stats["answered"]
            process = await start(world.folder, url)
            # Killed when a random number of further replies has gone out, so that every run gets somewhere.
            goal = answered + chance.randint(1, 12)
            while stub.stats["answered"] < goal and process.returncode is None:
                await asyncio.sleep(0.001)
            assert process.returncode is None, "the run ended before all kills: give it more to do"
            process.send_signal(signal.SIGKILL)
            await process.wait()
            kills += 1
            assert stub.stats["answered"] - lines(calls) <= IN_FLIGHT * kills
        process = await start(world.folder, url)
        assert await process.wait() == 0
        lost = stub.stats["answered"] - lines(calls)
        broken = (world.folder / "trajectories.jsonl").read_bytes()
    assert lost <= IN_FLIGHT * KILLS
    print(f"{KILLS} kills: {stub.stats['answered']} replies, {lost} lost in flight")
    expected = [f"{question.id}#{sample}" for question in world.questions for sample in range(3)]
    assert [json.loads(line)["id"] for line in broken.splitlines()] == expected
    keys = [json.loads(line)["key"] for line in calls.read_text().splitlines()]
    assert len(keys) == len(set(keys))
    for path in sorted((world.folder / ".run").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    async with world.served(manners, latency=0.0) as (_, url):
        process = await start(world.folder, url)
        assert await process.wait() == 0
    assert (world.folder / "trajectories.jsonl").read_bytes() == broken
