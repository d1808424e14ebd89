"""SIGKILL at random moments, then resume: nothing lost, nothing paid twice."""

import asyncio
import json
import random
import re
import signal
import sys
from collections import Counter
from dataclasses import replace

import pytest

from runtime.ranked_run import run_ranks

_NAMED = re.compile(r"[Ss]egment \[([\d, ]+)\] of a video.*? of (\d+:\d\d)", re.DOTALL)
ARGUMENTS = ["--model", "stub", "--frames", "2,3,4", "--sides", "64,48,32", "--minimum-width", "2", "--in-flight", "4"]
IN_FLIGHT = 4
LENGTHS = {"0:20": "one", "0:24": "two"}


def named(entry):
    """The video and segment that a request to the stub was about."""
    address, duration = _NAMED.search(entry["texts"]).groups()
    return LENGTHS[duration], address.replace(" ", "")


def journalled(out):
    """What the journals on disk hold, read without opening them as journals."""
    found = set()
    for path in (out / ".run" / "journals").glob("*.jsonl"):
        for line in path.read_bytes().split(b"\n")[1:-1]:
            row = json.loads(line)
            if "caption" in row["value"]:
                found.add((path.stem, row["key"]))
    return found


async def start(clips, out, address, strategy):
    command = [
        "-m",
        "clipscout.captions",
        "--videos",
        str(clips),
        "--out",
        str(out),
        "--url",
        address,
        "--strategy",
        strategy,
        *ARGUMENTS,
        "--quiet",
    ]
    return await asyncio.create_subprocess_exec(sys.executable, *command, stdout=asyncio.subprocess.PIPE)


async def survive(stubs, job_for, clips, tmp_path, kills, strategy, latency, wait_for_moment):
    """Kills runs `kills` times, resumes, and compares with an undisturbed run; returns the counts."""
    _, calm = await stubs()
    settings = replace(job_for(calm).settings, strategy=strategy)
    undisturbed = job_for(calm, settings=settings, out=tmp_path / "calm")
    await asyncio.to_thread(run_ranks, undisturbed, quiet=True)

    server, address = await stubs(latency=latency)
    out = tmp_path / "out"
    twice, killed = [], 0
    while killed < kills:
        known, asked = journalled(out), len(server.log)
        child = await start(clips, out, address, strategy)
        await wait_for_moment(server, asked, child)
        if child.returncode is not None:
            break
        child.kill()
        await child.wait()
        killed += 1
        twice += [entry for entry in server.log[asked:] if named(entry) in known]
        assert all(path.suffix == ".json" and json.loads(path.read_text()) for path in out.glob("*.json"))
    known, asked = journalled(out), len(server.log)
    child = await start(clips, out, address, strategy)
    await child.communicate()
    twice += [entry for entry in server.log[asked:] if named(entry) in known]
    assert child.returncode == 0
    asked_for = Counter(named(entry) for entry in server.log)
    same = {path.name: path.read_bytes() for path in out.glob("*.json")} == {
        path.name: path.read_bytes() for path in undisturbed.out.glob("*.json")
    }
    return {
        "kills": killed, "same": same, "segments": len(asked_for),
        "asked again": sum(asked_for.values()) - len(asked_for), "known asked": len(twice),
    }  # fmt: skip


@pytest.mark.parametrize("strategy", ["frames", pytest.param("bottom_up", marks=pytest.mark.slow)])
async def test_three_kills_lose_and_repeat_nothing(stubs, job_for, clips, tmp_path, strategy):
    chance = random.Random(strategy)

    async def some_requests_later(server, asked, child):
        moment = asked + chance.randint(3, 8)
        while len(server.log) < moment and child.returncode is None:
            await asyncio.sleep(0.005)

    counts = await survive(stubs, job_for, clips, tmp_path, 3, strategy, 0.03, some_requests_later)
    assert counts["same"]
    assert counts["kills"] == 3
    assert counts["segments"] == 28
    assert counts["known asked"] == 0
    assert counts["asked again"] <= 3 * IN_FLIGHT


@pytest.mark.slow
async def test_twenty_kills_at_random_moments(stubs, job_for, clips, tmp_path):
    chance = random.Random(4)

    async def at_any_moment(server, asked, child):
        # Moments are counted in requests: in seconds, all of them would fall into the start on a slow machine.
        if chance.random() < 0.2:
            await asyncio.sleep(chance.uniform(0.0, 3.0))
            return
        moment = asked + chance.randint(1, 10)
        while len(server.log) < moment and child.returncode is None:
            await asyncio.sleep(0.002)
        await asyncio.sleep(chance.uniform(0.0, 0.3))

    kills = asked_again = rounds = 0
    while kills < 20:
        folder = tmp_path / str(rounds)
        strategy = "bottom_up" if rounds % 2 else "frames"
        counts = await survive(stubs, job_for, clips, folder, 20 - kills, strategy, 0.15, at_any_moment)
        print(counts)
        assert counts["same"]
        assert counts["segments"] == 28
        assert counts["known asked"] == 0
        assert counts["asked again"] <= counts["kills"] * IN_FLIGHT
        kills, asked_again, rounds = kills + counts["kills"], asked_again + counts["asked again"], rounds + 1
    print(f"{kills} kills in {rounds} rounds, {asked_again} requests repeated")


async def test_ctrl_c_ends_at_once_and_the_rest_follows_later(stubs, clips, tmp_path):
    server, address = await stubs(latency=0.4)
    # Started in the background, a shell has switched the signal off.
    program = (
        "import signal, sys, typer; from clipscout.captions import captions; "
        "signal.signal(signal.SIGINT, signal.default_int_handler); typer.run(captions)"
    )
    arguments = ["--videos", str(clips), "--out", str(tmp_path), "--url", address, *ARGUMENTS, "--quiet"]
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, *arguments, stderr=asyncio.subprocess.PIPE
    )
    while server.stats["answered"] < 8:
        await asyncio.sleep(0.01)
    child.send_signal(signal.SIGINT)
    _, said = await asyncio.wait_for(child.communicate(), 5)
    assert child.returncode == 130
    assert said.decode().strip() == "stopped: run the same command again to go on"
    assert len(journalled(tmp_path)) >= 4
    assert list(tmp_path.glob("*.json")) == []
